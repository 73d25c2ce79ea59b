"""Queries for the rows of a feedback snapshot: annotations, pairs, verdicts, human texts, prompts.

What withdrawn and excluded people stated stays out, and what the policy of the snapshot does not take.
"""

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet

from feedback.models import (
    Annotation,
    Assignment,
    Contest,
    Kind,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Task,
    Thumb,
    Verdict,
)
from feedback.rules.collection.kinds.registry import WITH_SCHEME
from feedback.rules.data.content_hash import sha256
from feedback.rules.quality.reliability_weights import Weighing
from feedback.selectors.quality import exclusions

Rows = TypeVar("Rows", bound="QuerySet[Any, Any]")

HELD = (Prompt.State.RECEIVED, Prompt.State.BLOCKED)  # the guard has not let it on


@dataclass(frozen=True)
class Policy:
    """The policy of a feedback snapshot.

    Attributes:
        pairs: `each` (every annotation's pairs) or `consensus` (one for every two responses of a task: what a reviewer
            decided, else by majority).
        unsettled: also from tasks that have not all their annotations.
        extras: also answers that came too late to be one of the K.
        prompt_sources: only prompts from these sources become prompt rows (what PPO samples from); empty: all.
        held_out_annotators: share of those who compared, 0 to 0.5, at least one of them if it is more than 0, whose
            judgments of training prompts stay out, so that a reward model can be tried on people it never met.
        accepted: also imitate responses that people found good (thumbs up, high ratings) and nobody found bad.
        include_excluded: also annotations of people who are excluded for their pace or their errors on gold tasks.
        weigh_annotators: what is done about annotators of different reliability: `rules.quality.reliability_weights`.
    """

    pairs: str = "each"
    unsettled: bool = True
    extras: bool = True
    prompt_sources: list[str] = field(default_factory=list)
    held_out_annotators: float = 0.0
    accepted: bool = False
    include_excluded: bool = False
    weigh_annotators: str = Weighing.WEIGH.value


@dataclass(frozen=True)
class FreezePolicy(Policy):
    """The policy of one freeze. `flagged`: keys of people whose annotations are left out besides excluded ones."""

    flagged: frozenset[int] = frozenset()


def all_pairs(project: Project, policy: Policy) -> QuerySet[PreferencePair]:
    pairs = PreferencePair.objects.standing().filter(project=project)
    pairs = pairs.exclude(annotation__annotator__status=Person.Status.WITHDRAWN)
    pairs = without_excluded(pairs, project, policy, "annotation__annotator")
    # Checks and training rounds measure annotators; they do not teach models.
    pairs = pairs.exclude(annotation__task__gold__isnull=False).exclude(annotation__task__training_round=True)
    pairs = pairs.exclude(annotation__task__in=tasks_of_live_contests(project))
    if not project.battles_train:
        pairs = pairs.filter(annotation__task__battle=None)
    if not policy.unsettled:
        pairs = pairs.filter(annotation__task__state=Task.State.SETTLED)
    if not policy.extras:
        pairs = pairs.filter(annotation__assignment__counted=True)
    return pairs.order_by("pk")


def standing_pairs(project: Project, policy: Policy) -> QuerySet[PreferencePair]:
    return all_pairs(project, policy).exclude(prompt__state__in=HELD)


def standing_verdicts(project: Project, policy: Policy) -> QuerySet[Verdict]:
    """Verdicts of reviewers. They replace the consensus of the annotations of their tasks."""
    verdicts = Verdict.objects.filter(project=project, task__gold__isnull=True).exclude(task__prompt__state__in=HELD)
    verdicts = verdicts.exclude(task__in=tasks_of_live_contests(project))
    if not project.battles_train:
        verdicts = verdicts.filter(task__battle=None)
    if policy.unsettled:
        return verdicts
    return verdicts.filter(task__state=Task.State.SETTLED)


def current_annotations(project: Project, policy: Policy, *kinds: str) -> QuerySet[Annotation]:
    """Current answers of some kinds, under the policy. Those of contests that have not ended stay out."""
    submitted = Q(assignment__state=Assignment.State.SUBMITTED)
    current = Annotation.objects.filter(
        submitted, project=project, kind__in=kinds, pk__in=current_keys(project)
    ).exclude(annotator__status=Person.Status.WITHDRAWN)
    current = without_excluded(current, project, policy)
    if not policy.unsettled:
        current = current.filter(task__state=Task.State.SETTLED)
    if not policy.extras:
        current = current.filter(assignment__counted=True)
    current = current.filter(task__gold__isnull=True, task__training_round=False)
    current = current.exclude(task__in=tasks_of_live_contests(project))
    if not project.battles_train:
        current = current.filter(task__battle=None)
    return current.exclude(task__prompt__state__in=HELD).order_by("pk")


def tasks_of_live_contests(project: Project) -> QuerySet[Task, Any]:
    """Keys of the tasks of a contest that has not ended: its annotations may train only after its decision."""
    return Task.objects.filter(contest__project=project, contest__state__in=Contest.LIVE).values("pk")


def count_in_live_contests(project: Project) -> int:
    """How many standing annotations a contest keeps out."""
    live = tasks_of_live_contests(project)
    return Assignment.objects.filter(task__in=live, current__isnull=False, state=Assignment.State.SUBMITTED).count()


def current_keys(project: Project) -> QuerySet[Assignment, Any]:
    return Assignment.objects.filter(project=project, current__isnull=False).values("current_id")


def written_responses(project: Project, policy: Policy) -> QuerySet[Response]:
    stands = Q(annotation=None) | Q(annotation__in=current_keys(project))
    written = Response.objects.filter(stands, project=project, author__isnull=False, state=Response.State.READY)
    written = written.exclude(text="").exclude(author__status=Person.Status.WITHDRAWN)
    return without_excluded(written, project, policy, "annotation__annotator")


def thumbs_given(project: Project) -> QuerySet[Thumb]:
    return Thumb.objects.filter(response__project=project).exclude(person__status=Person.Status.WITHDRAWN)


def asked_of_models(project: Project, policy: Policy, *, only_labeled: bool = False) -> QuerySet[Prompt]:
    """Prompts that somebody wanted answered; or those that are only texts under labels and spans.

    Such a text has tasks of these two kinds alone and no response, and none was requested.
    """
    prompts = Prompt.objects.filter(project=project).exclude(state__in=HELD)
    if not project.battles_train:
        prompts = prompts.filter(battle=None)
    if policy.prompt_sources:
        prompts = prompts.filter(source__in=policy.prompt_sources)
    tasks = Task.objects.filter(prompt=OuterRef("pk"))
    text = (
        Q(responses_wanted=0)
        & Exists(tasks.filter(kind__in=WITH_SCHEME))
        & ~Exists(tasks.exclude(kind__in=WITH_SCHEME))
        & ~Exists(Response.objects.filter(prompt=OuterRef("pk")))
    )
    return prompts.filter(text if only_labeled else ~text)


def held_out_annotators(project: Project, policy: Policy) -> list[int]:
    """Keys of annotators whose judgments a snapshot holds out; never all of them.

    Those with the lowest hash of their public id: the same at every freeze, until others join or leave.
    """
    pairs = PreferencePair.objects.standing().filter(project=project)
    pairs = pairs.exclude(annotation__annotator__status=Person.Status.WITHDRAWN)
    pairs, share = without_excluded(pairs, project, policy, "annotation__annotator"), policy.held_out_annotators
    rows = pairs.order_by().values_list("annotation__annotator__public_id", "annotation__annotator").distinct()
    people = sorted(rows, key=lambda row: sha256(str(row[0]))) if share else []
    if people:
        return [key for _, key in people[: min(len(people) - 1, max(1, round(share * len(people))))]]
    return []


def without_excluded(rows: Rows, project: Project, policy: Policy, annotator: str = "annotator") -> Rows:
    """Without annotations of people who are excluded, unless the policy takes them, and of those who are flagged."""
    if isinstance(policy, FreezePolicy):
        rows = rows.exclude(**{f"{annotator}__in": policy.flagged})
    if policy.include_excluded:
        return rows
    return rows.exclude(**{f"{annotator}__in": exclusions.excluded_people(project)})


def count_flagged(project: Project, policy: Policy) -> int:
    """How many standing annotations are left out because their annotators are flagged."""
    if not isinstance(policy, FreezePolicy):
        return 0
    every = current_annotations(project, replace(policy, flagged=frozenset()), *Kind.values)
    return every.filter(annotator__in=policy.flagged).count()


def count_excluded(project: Project, policy: Policy) -> int:
    """How many standing annotations `without_excluded` leaves out."""
    if policy.include_excluded:
        return 0
    every = current_annotations(project, replace(policy, include_excluded=True), *Kind.values)
    return every.filter(annotator__in=exclusions.excluded_people(project)).count()
