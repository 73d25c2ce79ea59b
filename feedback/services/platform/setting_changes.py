"""Checks changes of a project's settings against its open tasks and its gold answers."""

from collections.abc import Iterator
from typing import NamedTuple

from django.db.models import QuerySet

from feedback.errors import Conflict, Invalid
from feedback.models import Person, Project, Task
from feedback.rules.collection.kinds.registry import WITH_DIMENSIONS, WITH_NAMES
from feedback.rules.json_types import JsonObject
from feedback.services.platform import events

LIVE = (Task.State.OPEN, Task.State.WAITING, Task.State.ASIDE)


class Needed(NamedTuple):
    """Something that a change removes: its field, its name in words, and the open tasks that need it."""

    field: str
    what: str
    tasks: QuerySet[Task]


def refuse_what_is_needed(project: Project, changes: JsonObject) -> None:
    """
    Raises:
        Conflict: open tasks need a kind, scheme or dimension that would be gone or of another kind.
    """
    for needed in _needed(project, changes):
        if needed.tasks.exists():
            raise Conflict(f"Open tasks need {needed.what}. Withdraw them first.", field=needed.field)


def withdraw_what_is_needed(by: Person, project: Project, changes: JsonObject) -> int:
    """Withdraw the tasks that `refuse_what_is_needed` would refuse for. Returns how many. Call inside a transaction."""
    number = 0
    for needed in _needed(project, changes):
        number += needed.tasks.update(state=Task.State.WITHDRAWN)
    if number:
        events.record("tasks.withdrawn", project, actor=by, project=project, tasks=number)
    return number


def refuse_earlier_names(project: Project, changes: JsonObject) -> None:
    """
    Raises:
        Invalid: a name that a label or dimension had before is given to another one.
    """
    for name, scheme in (changes.get("label_scheme") or {}).items():
        earlier = project.renames.get("labels", {}).get(name, {})
        for place, label in enumerate(scheme.get("labels", [])):
            if label["name"] in earlier:
                sentence = f"{earlier[label['name']]!r} had this name before. Choose another name."
                raise Invalid(sentence, field=f"label_scheme.{name}.labels[{place}].name")
    earlier = project.renames.get("dimensions", {})
    for dimension in changes.get("dimensions") or []:
        if dimension in earlier:
            raise Invalid(f"{earlier[dimension]!r} was named {dimension!r} before.", field="dimensions")


def unfit_gold(project: Project) -> list[Task]:
    """Gold tasks that name a label or dimension which the project no longer has, oldest first."""
    names = project.names
    gold = Task.objects.filter(project=project, gold__isnull=False, kind__in=WITH_NAMES).exclude(
        state=Task.State.WITHDRAWN
    )
    return [task for task in gold.select_related("prompt").order_by("pk") if not names.fits(task.gold or {})]


def hold_unfit_gold(project: Project) -> int:
    """Put gold tasks on hold whose right answer cannot be given any more. Returns how many."""
    keys = [task.pk for task in unfit_gold(project)]
    return Task.objects.filter(pk__in=keys, state=Task.State.OPEN).update(state=Task.State.ASIDE)


def _needed(project: Project, changes: JsonObject) -> Iterator[Needed]:
    """Kinds, schemes and dimensions that the change removes."""
    live = Task.objects.filter(project=project, state__in=LIVE)
    if "kinds" in changes:
        for kind in sorted(set(project.kinds) - set(changes["kinds"])):
            yield Needed("kinds", f"the kind {kind}", live.filter(kind=kind))
    if "label_scheme" in changes:
        for name, before in sorted(project.label_scheme.items()):
            after = changes["label_scheme"].get(name)
            if after is None or after.get("kind") != before.get("kind"):
                tasks = live.filter(ask__scheme=name)
                yield Needed(f"label_scheme.{name}.kind", f"the label scheme {name}", tasks)
    if "dimensions" in changes:
        gone = sorted(set(project.dimensions) - set(changes["dimensions"]))
        if gone:
            yield Needed("dimensions", f"the dimension {gone[0]}", live.filter(kind__in=WITH_DIMENSIONS))
