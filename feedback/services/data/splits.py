"""Places new prompts in splits: each gets the split of its oldest relative, by family or by group.

Rows that came before never move. Of two writers at once, the second sees what the first has written: on SQLite the
write lock sees to it, on PostgreSQL a lock of the project, which only rows with a group hold alone. Rows without one
need not wait for each other: what is no one's relative is placed by its own hash.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from django.db import connection

from feedback.db.bulk_writer import as_json
from feedback.models import FamilyKey, Project
from feedback.models.prompts import FAMILY_PREFIX
from feedback.rules.data.splits import NO_SPLIT, Elder, Place, earlier_family_of, family_of, place_of

LOCK = 0x73706C74  # a number of our own among PostgreSQL's advisory locks


@dataclass(frozen=True, slots=True)
class Newcomer:
    """A prompt to be placed.

    Attributes:
        family: its key. others: keys under which older rows of it may be found. own: of its own words, if it is an
            edit. group, wanted: what a file or a client gives.
    """

    family: str
    others: tuple[str, ...] = ()
    own: str = ""
    group: str = ""
    wanted: str = ""


def newcomer(
    project: Project, messages: Sequence[Mapping[str, str]], *, group: str = "", opening: str = "", wanted: str = ""
) -> Newcomer:
    """A prompt as placement sees it.

    Args:
        opening: the first message of its family, where that is not its own: an edit stays with what it is an edit of.
    """
    first = messages
    if opening:
        first = [{"role": "user", "content": opening}]
    family = family_of(project.split_salt, first)
    own = earlier = family
    if opening:
        own = family_of(project.split_salt, messages)
    if not all(message["content"].isascii() for message in first):
        earlier = earlier_family_of(project.split_salt, first)
    others = tuple(key for key in (earlier, own) if key != family)
    return Newcomer(family, others, own if own != family else "", group, wanted)


def place(project: Project, rows: Sequence[Newcomer]) -> list[Place]:
    """The place of each row, in order; the ones before it in the batch count as older. Call in a transaction."""
    if not rows:
        return []
    groups: set[str] = set()
    families: set[str] = set()
    edits: dict[str, str] = {}
    for row in rows:
        families.update((row.family, *row.others))
        if row.group:
            groups.add(row.group)
        if row.own:
            edits[row.own] = row.family
    _lock(project, alone=bool(groups))
    names = _other_names(project, families)
    by_family = _elders(project, "prompt_by_family", families | set(names.values()))
    by_group: dict[str, Elder] = {}
    if groups:
        by_group = _elders(project, "prompt_by_group", groups)
    places = []
    for row in rows:
        keys = [row.family, *row.others]
        keys += [names[key] for key in keys if key in names]
        elders = [by_family[key] for key in keys if key in by_family]
        place = place_of(
            family=row.family,
            by_family=min(elders, key=attrgetter("key"), default=None),
            group=row.group,
            by_group=by_group.get(row.group),  # holds no empty name
            salt=project.split_salt,
            wanted=row.wanted,
        )
        places.append(place)
        if place.split != NO_SPLIT:
            newest = Elder(2**63, place.split)
            by_family.setdefault(row.family, newest)
            if row.group:
                by_group.setdefault(row.group, newest)
    if edits:
        made = [FamilyKey(project=project, key=own, family=family) for own, family in sorted(edits.items())]
        FamilyKey.objects.bulk_create(made, ignore_conflicts=True)
    return places


def remember(project: Project, messages: Sequence[Mapping[str, str]], family: str) -> None:
    """Record that a prompt stays in another's family, so that later prompts with the same words follow it."""
    key = family_of(project.split_salt, messages)
    if key != family:
        made = [FamilyKey(project=project, key=key, family=family)]
        FamilyKey.objects.bulk_create(made, ignore_conflicts=True)


def _lock(project: Project, *, alone: bool) -> None:
    if connection.vendor == "postgresql":
        name = "pg_advisory_xact_lock_shared"
        if alone:
            name = "pg_advisory_xact_lock"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {name}(%s, %s)", [LOCK, project.pk])


# The oldest row of each key. Keys go as one value, however many they are, and each is looked up in the index: SQLite is
# reported which, since without statistics it would rather read all rows in the order that is requested. PostgreSQL
# knows SUBSTRING and SUBSTR as two functions, and an index of the one is none of the other.
_OLDEST = "WHERE project_id = %s AND {same} AND split <> 'none' ORDER BY id LIMIT 1"
_ELDERS = {
    "sqlite": "SELECT wanted.value, elder.id, elder.split FROM json_each(%s) wanted JOIN feedback_prompt elder"
    f" ON elder.id = (SELECT id FROM feedback_prompt INDEXED BY {{index}} {_OLDEST})",
    "postgresql": "SELECT wanted.value, elder.id, elder.split FROM unnest(%s::text[]) AS wanted(value)"
    f" CROSS JOIN LATERAL (SELECT id, split FROM feedback_prompt {_OLDEST}) AS elder",
}
_PREFIXED = "{cut}(family, 1, {n}) = {cut}(wanted.value, 1, {n}) AND family = wanted.value"
_SAME = {
    "prompt_by_family": {
        "sqlite": _PREFIXED.format(cut="SUBSTR", n=FAMILY_PREFIX),
        "postgresql": _PREFIXED.format(cut="SUBSTRING", n=FAMILY_PREFIX),
    },
    "prompt_by_group": dict.fromkeys(_ELDERS, '"group" > \'\' AND "group" = wanted.value'),
}
_KEYS = {"sqlite": "json_each(%s) wanted", "postgresql": "unnest(%s::text[]) AS wanted(value)"}


def elders_statement(index: str) -> str:
    """SQL for the oldest row of each of some keys (one parameter) in a project (the other), by this index."""
    return _ELDERS[connection.vendor].format(index=index, same=_SAME[index][connection.vendor])


_NAMES = """SELECT wanted.value, known.family FROM {keys} JOIN feedback_familykey known
    ON known.project_id = %s AND known.key = wanted.value"""


def _elders(project: Project, index: str, keys: Iterable[str]) -> dict[str, Elder]:
    return {value: Elder(key, split) for value, key, split in _ask(elders_statement(index), keys, project)}


def _other_names(project: Project, keys: Iterable[str]) -> dict[str, str]:
    return dict(_ask(_NAMES.format(keys=_KEYS[connection.vendor]), keys, project))


def _ask(statement: str, keys: Iterable[str], project: Project) -> list[Any]:
    ordered = sorted(keys)
    with connection.cursor() as cursor:
        cursor.execute(statement, [as_json(ordered) if connection.vendor == "sqlite" else ordered, project.pk])
        return cursor.fetchall()
