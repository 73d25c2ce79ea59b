"""Contests: opened with a plan that never changes, paused, resumed, stopped.

What happens in between is in `contest_supply` (prompts and responses), `contest_units` (tasks), `contest_votes`
(numbers, votes, evidence, decision) and `contest_outcomes` (what follows).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback import celery_app
from feedback.errors import (
    Conflict,
    ContestBlocked,
    ContestRunning,
    Invalid,
    InvalidTransition,
    ModelNotPromotable,
    NoServingModel,
)
from feedback.models import Contest, ContestCandidate, ContestPlan, ModelVersion, Person, Project
from feedback.rules.evaluation import contest_evidence
from feedback.rules.evaluation.contest_evidence import BETS, Design
from feedback.rules.evaluation.preconditions import BLOCK, Finding
from feedback.selectors.evaluation import contest_prompts, contests, gate
from feedback.services.collection import generation
from feedback.services.evaluation import contest_endings, safety_tests
from feedback.services.platform import events
from feedback.services.platform.closed_projects import refuse_when_closed
from feedback.services.registry import model_versions

Preconditions = ContestPlan.Preconditions
DEFAULT_SHARE = 0.5
MOST_CANDIDATES = 20
LARGEST_CAP = 100_000


@dataclass(frozen=True)
class Rules:
    """What may be chosen for a contest; the rest follows from the project.

    Attributes:
        cap: votes after which the incumbent stays; 1 to 100,000.
        votes_per_unit: people who judge each prompt; 1 to 100. More than one costs votes and gains agreement.
        alpha: the chance at most of promoting a version that is not better; 0.001 to 0.5.
        share: part of the annotators' tasks that it may take; over 0 to 1.
        fresh_only: never ask on the held-out prompts, however few new ones come in.
        promote: the winner serves at once.
        preconditions: `block` refuses a candidate that findings speak against, `report` only keeps them.
    """

    cap: int = 2000
    votes_per_unit: int = 1
    alpha: float = 0.05
    share: float = DEFAULT_SHARE
    fresh_only: bool = False
    promote: bool = False
    preconditions: str = Preconditions.BLOCK


def open_contest(
    *, by: Person | None, project: Project, candidates: Sequence[ModelVersion], rules: Rules = Rules()
) -> Contest:
    """Let people compare candidates with the version that serves.

    Raises:
        Invalid: a rule is out of bounds, or a candidate is no policy of the project.
        Conflict: a candidate serves, or people have decided about it against the same version.
        ModelNotPromotable: a candidate must never serve; `findings` names why.
        ContestBlocked: findings speak against a candidate, which `findings` names.
        ContestRunning: another contest of the project is running or paused.
        NoServingModel: nothing serves that candidates could be compared with.
        ProjectClosed: the project takes nothing any more.
    """
    refuse_when_closed(project, "comparisons")
    check_rules(rules)
    _check_candidates(project, candidates)
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # what serves stays so meanwhile
        incumbent = model_versions.serving(project)
        if incumbent is None:
            raise NoServingModel("No model serves this project yet, so there is nothing to compare with. Promote one.")
        findings = [one for version in candidates for one in _findings(version, incumbent, rules)]
        plan = ContestPlan.objects.create(
            project=project,
            incumbent=incumbent,
            alpha=rules.alpha,
            null_mean=Design.null,
            futility_mean=Design.futile,
            futility_limit=Design.futility_bar,
            bets=list(BETS),
            cap=rules.cap,
            votes_per_unit=rules.votes_per_unit,
            fresh_only=rules.fresh_only,
            fresh_after=contest_prompts.fresh_after([incumbent, *candidates]),
            share=rules.share,
            sampling=generation.DEFAULT_SAMPLING | project.sampling,
            promote=rules.promote,
            preconditions=rules.preconditions,
            opened_by=by,
        )
        for position, version in enumerate(candidates):
            ContestCandidate.objects.create(plan=plan, model_version=version, position=position)
        start = contest_evidence.start(Design(votes_per_unit=rules.votes_per_unit, cap=rules.cap)).stored()
        try:
            with transaction.atomic():
                contest = Contest.objects.create(
                    plan=plan,
                    project=project,
                    evidence=[start] * len(candidates),
                    folded=[0] * len(candidates),
                    findings=findings,
                    running_since=timezone.now(),
                )
        except IntegrityError:
            raise ContestRunning from None
        for version in candidates:
            safety_tests.start(by=by, candidate=version, incumbent=incumbent)
        names = ", ".join(str(version) for version in candidates)
        events.record("contest.opened", contest, actor=by, candidates=names, incumbent=str(incumbent))
        celery_app.enqueue(celery_app.CONTEST, contest.pk)
    return contest


def pause(*, by: Person | None, contest: Contest) -> Contest:
    """Give no more tasks of it out. What is held may be sent, and counts.

    Raises:
        InvalidTransition: it does not run.
    """
    return _move(contest, by, "contest.paused", Contest.State.RUNNING, state=Contest.State.PAUSED)


def resume(*, by: Person | None, contest: Contest) -> Contest:
    """Go on where it was paused. Its plan stays what it is.

    Raises:
        InvalidTransition: it is not paused.
    """
    now = timezone.now()
    return _move(contest, by, "contest.resumed", Contest.State.PAUSED, state=Contest.State.RUNNING, running_since=now)


def stop(*, by: Person | None, contest: Contest) -> Contest:
    """End it without a decision: the incumbent stays.

    Raises:
        InvalidTransition: it has ended already.
    """
    with transaction.atomic():
        if not contest_endings.end(contest, decision=Contest.Decision.STOPPED, by=by):
            raise InvalidTransition("The comparison has already ended.")
        celery_app.enqueue(celery_app.CONTEST, contest.pk)
    contest.refresh_from_db()
    return contest


def _move(contest: Contest, by: Person | None, verb: str, before: str, **changes: Any) -> Contest:
    with transaction.atomic():
        if not Contest.objects.filter(pk=contest.pk, state=before).update(**changes):
            raise InvalidTransition("The comparison has ended, or was paused or resumed by somebody else. Reload it.")
        events.record(verb, contest, actor=by)
        celery_app.enqueue(celery_app.CONTEST, contest.pk)
    contest.refresh_from_db()
    return contest


def check_rules(rules: Rules) -> None:
    """
    Raises:
        Invalid: a rule is out of bounds.
    """
    bounds: list[tuple[str, Any, float, float]] = [
        ("votes_per_unit", rules.votes_per_unit, 1, 100),
        ("cap", rules.cap, rules.votes_per_unit, LARGEST_CAP),
        ("alpha", rules.alpha, 0.001, 0.5),
        ("share", rules.share, 0.01, 1),
    ]
    for name, value, low, high in bounds:
        if not low <= value <= high:
            raise Invalid(f"It must lie between {low:g} and {high:g}.", field=name)
    if rules.preconditions not in Preconditions.values:
        raise Invalid(f"It must be one of {', '.join(Preconditions.values)}.", field="preconditions")


def _check_candidates(project: Project, candidates: Sequence[ModelVersion]) -> None:
    if not 1 <= len(candidates) <= MOST_CANDIDATES:
        raise Invalid(f"Name 1 to {MOST_CANDIDATES} candidates.", field="candidates")
    if len({version.pk for version in candidates}) < len(candidates):
        raise Invalid("A candidate occurs twice.", field="candidates")
    for version in candidates:
        if version.project_id != project.pk:
            raise Invalid(f"{str(version).capitalize()} belongs to another project.", field="candidates")
        model_versions.check_policy(version)


def _findings(version: ModelVersion, incumbent: ModelVersion, rules: Rules) -> list[dict[str, str]]:
    """What speaks against a candidate as a competitor, kept with the contest where it does not keep it from opening."""
    if version.pk == incumbent.pk:
        raise Conflict(f"{str(version).capitalize()} serves the project. Choose another version.", field="candidates")
    version = ModelVersion.objects.select_related("project", "run__reward_model").get(pk=version.pk)
    found = gate.of(version)
    if found.final:
        raise ModelNotPromotable(found.final[0].sentence, findings=_told(version, found.final))
    if contests.settled(version, incumbent) is not None:
        raise Conflict(
            f"People have already compared {version} with {incumbent} and decided. Asking until they say yes would "
            "prove nothing.",
            field="candidates",
        )
    blocking = [one for one in found.preconditions if one.level == BLOCK]
    if blocking and rules.preconditions == Preconditions.BLOCK:
        raise ContestBlocked(
            f"{str(version).capitalize()} is not compared by people yet: "
            f"{' '.join(one.sentence for one in blocking)} Open the comparison with findings for information only to "
            "ask people all the same.",
            findings=_told(version, blocking),
        )
    return _told(version, found.preconditions)


def _told(version: ModelVersion, findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [
        {"candidate": str(version.public_id), "name": one.name, "level": one.level, "sentence": one.sentence}
        for one in findings
    ]
