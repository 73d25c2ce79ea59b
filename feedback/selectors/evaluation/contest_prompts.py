"""Prompts for a contest: fresh ones, which neither version can have met; else passes over the held-out ones."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Substr

from feedback.models import Contest, ContestPlan, ContestUnit, ModelVersion, Project, Prompt, Split
from feedback.models.prompts import FAMILY_PREFIX
from feedback.rules.data.seeds import stable_seed
from feedback.selectors.registry import lineage

MOST_HELD_OUT = 2000  # prompts of the test split that passes go over, the oldest ones
ANSWERABLE = (Prompt.State.SCREENED, Prompt.State.READY)


def fresh_after(versions: list[ModelVersion]) -> int:
    """The key of the project's newest prompt that one of the versions can have met; 0 if there is none.

    A version can have met what came before the data froze that it, its ancestors or their reward models were trained
    on; one without a run, from elsewhere, what came before itself.
    """
    moments = [_frozen_at(one) for version in versions for one in lineage.ancestors(version)]
    older = Prompt.objects.filter(project=versions[0].project_id, created_at__lte=max(moments)).order_by("-pk")
    return older.values_list("pk", flat=True).first() or 0


def fresh(contest: Contest, plan: ContestPlan) -> QuerySet[Prompt]:
    """Prompts that neither version can have met and that the contest has not used, oldest first.

    By family: a relative of an older prompt is no news, and of one that was used gives no second value.
    """
    return _fresh(contest.project_id, plan.fresh_after, contest).order_by("pk")


def count_fresh(project: Project, versions: list[ModelVersion], limit: int = 1000) -> int:
    """How many fresh prompts there are for a contest of these versions, counted up to `limit`."""
    return len(_fresh(project.pk, fresh_after(versions), None).values_list("pk")[:limit])


def next_prompts(contest: Contest, plan: ContestPlan, number: int) -> Iterator[tuple[Prompt, int]]:
    """The next `number` prompts at most, each with its round: 0 of fresh ones, else the pass over held-out ones."""
    families: set[str] = set()
    for prompt in fresh(contest, plan)[: 2 * number]:
        if len(families) < number and prompt.family not in families:
            families.add(prompt.family)
            yield prompt, 0
    if plan.fresh_only or len(families) >= number:
        return
    pool = Prompt.objects.filter(
        project=contest.project_id, split=Split.TEST, state__in=ANSWERABLE, conversation=None, battle=None
    ).order_by("pk")
    keys = dict(pool.values_list("pk", "public_id")[:MOST_HELD_OUT])
    used = ContestUnit.objects.filter(contest=contest, round__gt=0)
    newest = used.order_by("-round").values_list("round", flat=True).first() or 1
    left = number - len(families)
    for round in (newest, newest + 1):
        taken = set(used.filter(round=round).values_list("prompt", flat=True))
        order = sorted(
            (key for key in keys if key not in taken),
            key=lambda key: stable_seed("pass", contest.public_id, round, keys[key]),
        )
        found = Prompt.objects.in_bulk(order[:left])
        for key in order[:left]:
            yield found[key], round
        left -= len(found)
        if left <= 0 or not keys:
            return


def _fresh(project: int, after: int, contest: Contest | None) -> QuerySet[Prompt]:
    prefix = Substr("family", 1, FAMILY_PREFIX)  # as the index has it
    relatives = Prompt.objects.alias(prefix=prefix).filter(
        project=project, prefix=Substr(OuterRef("family"), 1, FAMILY_PREFIX), family=OuterRef("family")
    )
    prompts = Prompt.objects.filter(project=project, pk__gt=after, state__in=ANSWERABLE, conversation=None, battle=None)
    prompts = prompts.exclude(Exists(relatives.filter(pk__lte=after)))
    if contest is None:
        return prompts
    used = relatives.filter(contest_units__contest=contest)
    return prompts.exclude(Exists(used))


def _frozen_at(version: ModelVersion) -> datetime:
    """When the data of a run froze; where there is no snapshot, when its model was made."""
    run = version.run
    frozen = None if run is None or run.snapshot is None else run.snapshot.frozen_at
    return frozen or version.created_at
