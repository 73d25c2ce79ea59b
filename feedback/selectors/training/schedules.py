"""Schedules as their page shows them: the rule in words, when it is due, and what it started."""

from dataclasses import dataclass

from feedback.models import Chain, PreferencePair, Project, Schedule
from feedback.selectors.platform.health import span

COUNTED = 100_000


@dataclass(frozen=True)
class ScheduleRow:
    """`new_pairs` counts toward `after_pairs`, no further than `COUNTED`; None for a schedule by time."""

    schedule: Schedule
    rule: str
    new_pairs: int | None
    started: list[Chain]
    waits_for: Chain | None


def rows(project: Project) -> list[ScheduleRow]:
    found = []
    for schedule in Schedule.objects.filter(project=project).order_by("-enabled", "name"):
        kind = "+".join(schedule.stages)
        found.append(
            ScheduleRow(
                schedule=schedule,
                rule=_rule(schedule),
                new_pairs=_new_pairs(schedule) if schedule.after_pairs else None,
                started=list(schedule.chains.order_by("-pk").prefetch_related("runs")[:5]),
                waits_for=Chain.objects.filter(project=project, kind=kind, state=Chain.State.ACTIVE).first(),
            )
        )
    return found


def _rule(schedule: Schedule) -> str:
    if schedule.every_seconds:
        return f"every {span(schedule.every_seconds)}"
    return f"after {schedule.after_pairs:,} new pairs"


def _new_pairs(schedule: Schedule) -> int:
    """Pairs written since it last started, as the schedule itself counts them."""
    rows = PreferencePair.objects.filter(project=schedule.project_id).order_by("pk")
    beyond = schedule.pairs_at_last_start
    return rows[beyond : beyond + COUNTED].count()
