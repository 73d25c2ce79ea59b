"""What people's blind votes say about a policy at the gate."""

from feedback.rules.evaluation.preconditions import WARN, Case, Finding, People, block

FEWEST_VOTERS = 3  # with fewer people nothing is promoted automatically


def findings(case: Case) -> list[Finding]:
    """Findings from people's votes: none where people prefer the candidate, and enough of them voted."""
    people = case.people
    if people is None or people.decision == "open":
        return [_no_human_judge(case)]
    if people.decision == "give_up" and people.win_rate is not None and people.win_rate < 0.5:
        sentence = f"People prefer {case.serving}: {case.candidate} {_result(people)}."
        return [block("people_prefer_the_incumbent", sentence)]
    if people.decision != "promote":
        sentence = f"The votes do not show that {case.candidate} is better than {case.serving}: it {_result(people)}."
        return [block("not_shown_better", sentence)]
    if people.voters < FEWEST_VOTERS:
        return [Finding("fewer_than_three_voters", WARN, f"{too_few_voters(people.voters)} An admin decides.")]
    return []


def too_few_voters(voters: int) -> str:
    people = "1 person" if voters == 1 else f"{voters} people"
    return f"Only {people} voted; an automatic promotion needs {FEWEST_VOTERS}."


def _no_human_judge(case: Case) -> Finding:
    sentence = f"No blind human comparison with {case.serving} exists."
    if case.people is not None:
        sentence = f"The blind human comparison with {case.serving} is not decided yet."
    if case.optimized_for:
        sentence += (
            f" The preference of {case.optimized_for} does not count, because {case.candidate} was "
            "optimized against it."
        )
    return block("no_human_judge", sentence)


def _result(people: People) -> str:
    if people.win_rate is None:
        return "was not compared"
    interval = ""
    if people.low is not None and people.high is not None:
        interval = f" ({people.low:.0%}–{people.high:.0%})".replace("%", " %")
    return f"won {people.win_rate:.0%}".replace("%", " %") + f"{interval} of {people.votes} votes"
