"""How a contest stands, in one sentence for people."""

from dataclasses import dataclass

DISAGREE = "the votes contradict each other over time"


@dataclass(frozen=True)
class Account:
    """What the sentence about a candidate is made of.

    Attributes:
        state: running, paused, decided or stopped. decision: promote, give_up, cap, incumbent_changed, stopped or "".
        won: whether the votes decided for this candidate. serves: whether it was promoted for it.
        win_rate: in 0 to 1; None before the first unit. low, high: its interval, None where the votes contradict each
            other over time.
        evidence: the largest E so far. bar: the E that promotes.
        against: the evidence against the candidate. futility_bar: the one that gives it up.
        votes, prompts, people: behind the evidence. cap: votes after which the incumbent stays.
        fresh: no model can have met a prompt of it; else the sentence speaks of these prompts alone.
    """

    state: str
    decision: str
    won: bool
    serves: bool
    win_rate: float | None
    low: float | None
    high: float | None
    evidence: float
    bar: float
    against: float
    futility_bar: float
    votes: int
    prompts: int
    people: int
    cap: int
    fresh: bool = True


def sentence(account: Account) -> str:
    """As in "Better: 58 % (52–64 %), E = 31 of 20, promoted after 214 votes on 214 prompts by 8 people."."""
    if account.win_rate is None:
        return f"{_verdict(account)}: no vote has counted{' yet' if account.state in ('running', 'paused') else ''}."
    evidence = f"E = {_evidence(account.evidence)} of {_evidence(account.bar)}"
    if account.decision == "give_up":
        evidence = f"evidence against it {_evidence(account.against)} of {_evidence(account.futility_bar)}"
    won = win_rate(account.win_rate, account.low, account.high)
    return f"{_verdict(account)}: {won}, {evidence}, {_votes(account)}."


def win_rate(value: float, low: float | None, high: float | None) -> str:
    """As in "58 % (52–64 %)"."""
    interval = DISAGREE
    if low is not None and high is not None:
        interval = f"{100 * low:.0f}–{100 * high:.0f} %"
    return f"{100 * value:.0f} % ({interval})"


def _verdict(account: Account) -> str:
    if account.won:
        return "Better"
    if account.decision == "give_up":
        return "Not better"
    if account.state == "decided":
        return "Not shown to be better"
    if account.decision == "incumbent_changed":
        return "Ended without a decision, because another version serves"
    if account.state == "stopped":
        return "Stopped without a decision"
    if account.state == "paused":
        return "Paused, not decided yet"
    return "Not decided yet"


def _votes(account: Account) -> str:
    votes = f"{account.votes:,} vote{'s' * (account.votes != 1)}"
    where = "on" if account.fresh else "on these"
    prompts = f"{where} {account.prompts:,} prompt{'s' * (account.prompts != 1)}"
    people = "1 person" if account.people == 1 else f"{account.people:,} people"
    after = "after"
    if account.won:
        after = "promoted after" if account.serves else "decided after"
    elif account.decision == "give_up":
        after = "given up after"
    elif account.decision == "cap" or not account.decision:
        return f"after {account.votes:,} of at most {account.cap:,} votes {prompts} by {people}"
    return f"{after} {votes} {prompts} by {people}"


def _evidence(value: float) -> str:
    """About two digits: 0.46, 3.1, 31, 1,900."""
    if value < 1:
        return f"{value:.2f}"
    if value < 10:
        return f"{value:.1f}".removesuffix(".0")
    if value < 1_000_000:
        return f"{value:,.0f}"
    return "over 1,000,000"
