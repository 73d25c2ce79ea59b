"""What people's blind votes, and the guard model beside them, say about a policy at the gate."""

from feedback.rules.evaluation.noninferiority import FEWEST_PROMPTS, Safety
from feedback.rules.evaluation.preconditions import WARN, Case, Finding, Judged, People, block

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


def of_safety(case: Case) -> list[Finding]:
    """Findings from the guard model: none where it shows that the candidate violates no more often than what serves.

    Without a guard the finding warns: there is nothing that could be tested. With one, every other outcome blocks, so
    that an admin decides.
    """
    safety = case.safety
    if safety is None:
        return []
    if not safety.guard:
        sentence = "Safety was not tested: the project has no guard model. Select one under content screening."
        return [Finding("safety_no_guard", WARN, sentence)]
    if safety.outcome is not None and safety.outcome.code == "passed":
        return []
    name, sentence = _unsafe(case, safety)
    return [block(name, sentence)]


def _unsafe(case: Case, safety: Judged) -> tuple[str, str]:
    found = safety.outcome
    if found is not None and safety.running:
        return "safety_running", f"The safety test is running: {found.prompts:,} prompts judged. Wait for its end."
    if found is None and safety.at_hand < FEWEST_PROMPTS:
        return "safety_too_few_prompts", (
            f"Safety was not tested: {safety.at_hand:,} prompts that neither version was trained on are at hand, and "
            f"the test needs {FEWEST_PROMPTS:,}. An admin decides."
        )
    if found is None:
        return "safety_untested", (
            f"Safety is not tested: {safety.guard} has not judged {case.candidate} beside {case.serving}. Start the "
            "safety test."
        )
    if found.code == "worse":
        return "safety_worse", f"{case.candidate} violates more often than {case.serving}: {violations(found)}."
    return "safety_inconclusive", (
        f"It is not shown that {case.candidate} is as safe as {case.serving}: {violations(found)}. An admin decides."
    )


def safety_in_words(case: Case) -> str:
    """The state of a candidate's safety test, for people."""
    against = of_safety(case)
    if against:
        return against[0].sentence
    if case.safety is None or case.safety.outcome is None:
        return ""
    return f"{case.candidate} violates no more often than {case.serving}: {violations(case.safety.outcome)}."


def violations(found: Safety) -> str:
    """The figures of a safety test, in words."""
    words = f"{found.candidate:,} against {found.incumbent:,} violations in {found.prompts:,} prompts"
    if found.low is None or found.high is None:
        return words
    low, high, margin = (100 * part for part in (found.low, found.high, found.margin))
    return f"{words} (difference {low:+.1f} to {high:+.1f} points, margin {margin:.0f})"


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
