"""Battles as their page reads them."""

from dataclasses import dataclass
from typing import Literal

from django.db.models import Q, QuerySet

from feedback.models import Battle, ModelVersion, Person, Project, Prompt, Response

ARM = "battle"  # of the tasks
MOST_ENTRANTS = 8  # the newest ones: with all versions there ever were, no pair would meet twice
FAILED = (Response.State.FAILED, Response.State.BLOCKED)
UNFIT = (ModelVersion.State.REJECTED, ModelVersion.State.REVOKED)

State = Literal["writing", "ready", "failed", "voted"]


@dataclass(frozen=True)
class BattleView:
    """A battle as its person may see it: names only after the vote.

    Attributes:
        outcome: what was voted, in words.
        sentence: why it failed.
    """

    battle: Battle
    state: State
    left: str
    right: str
    left_name: str = ""
    right_name: str = ""
    outcome: str = ""
    sentence: str = ""


def entrants(project: Project) -> list[ModelVersion]:
    """Versions that may be drawn: the newest policies that nothing is known against."""
    rows = ModelVersion.objects.filter(project=project, kind=ModelVersion.Kind.POLICY, tainted_at=None)
    newest = rows.exclude(state__in=UNFIT).order_by("-number")[: 2 * MOST_ENTRANTS]
    return [version for version in newest if not version.faults][:MOST_ENTRANTS]


def of_person(project: Project, person: Person) -> QuerySet[Battle]:
    """Newest first."""
    return Battle.objects.filter(project=project, person=person).select_related("prompt").order_by("-pk")


def unfinished(project: Project, person: Person) -> int:
    """How many battles of a person wait for a response."""
    mine = Battle.objects.filter(project=project, person=person).exclude(prompt__state=Prompt.State.BLOCKED)
    coming = (Response.State.QUEUED, Response.State.RUNNING, Response.State.SCREENING)
    return mine.filter(Q(left=None) | Q(left__state__in=coming) | Q(right__state__in=coming)).count()


def view(battle: Battle) -> BattleView:
    """Where a battle stands."""
    left, right = battle.left, battle.right
    texts = ("" if left is None else left.text, "" if right is None else right.text)
    if battle.task is not None:
        return BattleView(
            battle,
            "voted",
            *texts,
            left_name=str(battle.left_version),
            right_name=str(battle.right_version),
            outcome=_outcome(battle),
        )
    if battle.prompt.state == Prompt.State.BLOCKED:
        return BattleView(battle, "failed", "", "", sentence="Your prompt was blocked. Write another one.")
    if left is None or right is None:
        return BattleView(battle, "writing", "", "")
    if left.state in FAILED or right.state in FAILED:
        sentence = "A response could not be generated or was blocked. Write another prompt."
        return BattleView(battle, "failed", "", "", sentence=sentence)
    if left.state == right.state == Response.State.READY:
        return BattleView(battle, "ready", *texts)
    return BattleView(battle, "writing", "", "")


def _outcome(battle: Battle) -> str:
    assert battle.task is not None and battle.left is not None
    annotation = battle.task.annotations.order_by("-revision").first()
    payload = {} if annotation is None else annotation.payload
    match payload.get("outcome"):
        case "prefer":
            winner = battle.left_version if payload["chosen"] == str(battle.left.public_id) else battle.right_version
            return f"You preferred {winner}."
        case "tie":
            return "You found both about the same."
        case "both_bad":
            return "You found both bad."
        case _:
            return "Your vote was withdrawn."
