"""Another name for a label or a dimension. What was submitted under the old name is read under the new one."""

from operator import itemgetter

from django.db import transaction

from feedback.errors import Conflict, Invalid, NotFound
from feedback.models import Person, Project
from feedback.rules.collection import dimensions, label_renames, label_schemes
from feedback.rules.json_types import JsonObject
from feedback.rules.platform.known_names import unknown_name
from feedback.services.platform import events


def rename_label(*, by: Person, project: Project, scheme: str, old: str, new: str) -> Project:
    """
    Raises:
        NotFound: the project has no such scheme or label.
        Invalid: the new name cannot be one.
        Conflict: another label has or had the new name; two labels are never merged, since nothing could part them.
    """
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        if scheme not in locked.label_scheme:
            raise NotFound(unknown_name(scheme, locked.label_scheme, "label scheme"), field="scheme")
        changed: JsonObject = dict(locked.label_scheme[scheme])
        names = list(map(itemgetter("name"), changed["labels"]))
        if not label_schemes.NAME.fullmatch(new):
            raise Invalid("A name has at most 40 characters: lowercase letters, digits, - and _.", field="to")
        aliases = locked.renames.get("labels", {})
        aliases = aliases | {scheme: _renamed(names, aliases.get(scheme, {}), old, new, "label")}
        changed["labels"] = list(changed["labels"])
        place = names.index(old)
        changed["labels"][place] = changed["labels"][place] | {"name": new}
        locked.label_scheme = locked.label_scheme | {scheme: changed}
        locked.renames = locked.renames | {"labels": aliases}
        locked.screening = _of_marker(locked.screening, scheme, old, new)
        locked.save(update_fields=["label_scheme", "renames", "screening"])
        events.record("label.renamed", locked, actor=by, project=locked, scheme=scheme, old=old, new=new)
    project.refresh_from_db()
    return project


def rename_dimension(*, by: Person, project: Project, old: str, new: str) -> Project:
    """
    Raises:
        NotFound, Invalid, Conflict: as for labels.
    """
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        if wrong := dimensions.fault(new):
            raise Invalid(wrong, field="to")
        for twin in locked.dimensions:
            if twin != old and dimensions.alike(twin, new):
                raise Conflict(f"A dimension named {twin!r} already exists. Dimensions cannot be merged.", field="to")
        aliases = _renamed(locked.dimensions, locked.renames.get("dimensions", {}), old, new, "dimension")
        locked.dimensions = _replaced(locked.dimensions, old, new)
        locked.renames = locked.renames | {"dimensions": aliases}
        locked.save(update_fields=["dimensions", "renames"])
        events.record("dimension.renamed", locked, actor=by, project=locked, old=old, new=new)
    project.refresh_from_db()
    return project


def _renamed(names: list[str], aliases: label_renames.Aliases, old: str, new: str, what: str) -> dict[str, str]:
    if old not in names:
        raise NotFound(unknown_name(old, names, what), field=what)
    if new in names:
        raise Conflict(f"A {what} named {new!r} already exists. Two cannot be merged. Choose another name.", field="to")
    if aliases.get(new, old) != old:
        raise Conflict(f"{aliases[new]!r} was named {new!r} before. Choose another name.", field="to")
    return label_renames.renamed(aliases, old, new)


def _of_marker(screening: JsonObject, scheme: str, old: str, new: str) -> JsonObject:
    """The labels that the marker takes for personal data are named in the project's settings."""
    marker = screening.get("marker") or {}
    if marker.get("scheme") != scheme or old not in marker.get("personal", []):
        return screening
    return screening | {"marker": marker | {"personal": _replaced(marker["personal"], old, new)}}


def _replaced(names: list[str], old: str, new: str) -> list[str]:
    return [new if name == old else name for name in names]
