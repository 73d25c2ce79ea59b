"""Label schemes: what classification and spans ask, as a project stores it under each scheme's name.

{"name": "folder", "title": "Folder", "kind": "classification", "question": "Where would you file it?", "many": false,
"labels": [{"name": "work", "title": "Work", "definition": "…", "key": "1", "mark": {"colour", "underline", "badge"}}]}.
Only names and kind are required; `complete` fills in the rest, so that a desk can always show it.
"""

import re
from collections.abc import Mapping
from itertools import cycle

from feedback.rules.collection.kinds.question import Label, LabelScheme
from feedback.rules.collection.kinds.registry import WITH_SCHEME
from feedback.rules.platform.known_names import unknown_name

COLOURS = ("blue", "green", "yellow", "violet", "red", "teal")
UNDERLINES = ("solid", "double", "dotted", "dashed", "wavy")
KEYS = "123456789abcehijklnopqrtvwxyz0d"  # in the order in which labels without a key get theirs
TAKEN_KEYS = "sfugm"  # the desk's own: skip, flag, undo, guidelines, plain text
MOST_LABELS = 300  # real sets of intents have 77 to 151; the last of so many have no key of their own
MOST_CHARACTERS = {"title": 60, "definition": 500, "question": 200}
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
FIELDS = {"name", "title", "kind", "question", "many", "labels"}
LABEL_FIELDS = {"name", "title", "definition", "key", "mark"}


class InvalidScheme(ValueError):
    """A label scheme that cannot be used: which field, and why."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        self.sentence = sentence
        super().__init__(f"{field}: {sentence}")


def names_of_kind(schemes: Mapping[str, Mapping[str, object]], *kinds: str) -> list[str]:
    """Names of the schemes for tasks of these kinds, in the order of the project."""
    return [name for name, scheme in schemes.items() if scheme.get("kind") in kinds]


def scheme_of(schemes: Mapping[str, LabelScheme], ask: Mapping[str, str]) -> LabelScheme:
    """The scheme that a task asks about, with its name; empty where it asks about none."""
    name = ask.get("scheme", "")
    if name not in schemes:
        return {}
    return {**schemes[name], "name": name}


def check_all(schemes: object) -> None:
    """Every scheme of a project, by name. Fields are named as in `folder.labels[0].key`.

    Raises:
        InvalidScheme: the first thing that is wrong.
    """
    if not isinstance(schemes, Mapping):
        raise InvalidScheme("", 'It must be an object of schemes by name: {"topic": {"kind": …, "labels": […]}}.')
    for name, scheme in schemes.items():
        try:
            check(scheme, name)
        except InvalidScheme as error:
            raise InvalidScheme(".".join(filter(None, (name, error.field))), error.sentence) from None


def check(scheme: object, name: str) -> None:
    """One scheme.

    Raises:
        InvalidScheme: the first thing that is wrong, with its field.
    """
    if not isinstance(scheme, Mapping):
        raise InvalidScheme("", "A scheme must be an object with kind and labels.")
    _only(scheme, FIELDS, "")
    _name(name, "name")
    if scheme.get("name", name) != name:
        raise InvalidScheme("name", f"The scheme stands under {name!r} and calls itself {scheme['name']!r}.")
    if scheme.get("kind") not in WITH_SCHEME:
        raise InvalidScheme("kind", f"It must be {' or '.join(WITH_SCHEME)}; got {scheme.get('kind')!r}.")
    if not isinstance(scheme.get("many", False), bool):
        raise InvalidScheme("many", "It must be true or false.")
    for field in ("title", "question"):
        _text(scheme, field, "")
    labels = scheme.get("labels")
    if not isinstance(labels, list | tuple) or not labels:
        raise InvalidScheme("labels", "A scheme needs labels, at least one.")
    if len(labels) > MOST_LABELS:
        raise InvalidScheme("labels", f"At most {MOST_LABELS} labels; got {len(labels)}.")
    names: set[str] = set()
    keys: dict[str, str] = {}
    for place, label in enumerate(labels):
        _label(label, f"labels[{place}]", names, keys)


def complete(scheme: LabelScheme) -> LabelScheme:
    """The scheme as a desk shows it: each label with title, definition, a key if one is free, and its mark."""
    labels = list(scheme.get("labels", []))
    used = {label.get("key") for label in labels}
    free = iter([key for key in KEYS if key not in used])
    looks = zip(cycle(COLOURS), cycle(UNDERLINES), strict=False)
    shown: list[Label] = []
    for label, (colour, underline) in zip(labels, looks, strict=False):
        title = label.get("title") or label["name"].replace("_", " ").replace("-", " ").capitalize()
        mark = {"colour": colour, "underline": underline, "badge": title[0].upper()} | (label.get("mark") or {})
        shown.append(
            {
                "name": label["name"],
                "title": title,
                "definition": label.get("definition", ""),
                "key": label.get("key") or next(free, ""),
                "mark": mark,
            }
        )
    return {
        "name": scheme.get("name", ""),
        "title": scheme.get("title") or scheme.get("name", ""),
        "kind": scheme.get("kind", ""),
        "question": scheme.get("question", ""),
        "many": bool(scheme.get("many")),
        "labels": shown,
    }


def _label(label: object, field: str, names: set[str], keys: dict[str, str]) -> None:
    if not isinstance(label, Mapping):
        raise InvalidScheme(field, "A label must be an object with at least a name.")
    _only(label, LABEL_FIELDS, f"{field}.")
    name = _name(label.get("name"), f"{field}.name")
    if name in names:
        raise InvalidScheme(f"{field}.name", f"Two labels are named {name!r}.")
    names.add(name)
    for text in ("title", "definition"):
        _text(label, text, f"{field}.")
    _key(label.get("key") or "", name, f"{field}.key", keys)
    _mark(label.get("mark"), f"{field}.mark")


def _key(key: object, name: str, field: str, keys: dict[str, str]) -> None:
    if not key:
        return
    if not isinstance(key, str) or len(key) != 1 or not re.fullmatch(r"[a-z0-9]", key):
        raise InvalidScheme(field, f"A key is one lowercase letter or one digit; got {key!r}.")
    if key in TAKEN_KEYS:
        raise InvalidScheme(field, f"{key!r} is reserved by the desk, like {', '.join(TAKEN_KEYS)}.")
    if key in keys:
        raise InvalidScheme(field, f"{key!r} is already the key of {keys[key]!r}.")
    keys[key] = name


def _mark(mark: object, field: str) -> None:
    if mark is None:
        return
    if not isinstance(mark, Mapping):
        raise InvalidScheme(field, "It must be an object with colour, underline and badge.")
    _only(mark, {"colour", "underline", "badge"}, f"{field}.")
    for part, allowed in (("colour", COLOURS), ("underline", UNDERLINES)):
        if part in mark and mark[part] not in allowed:
            raise InvalidScheme(f"{field}.{part}", f"Choose from {', '.join(allowed)}; got {mark[part]!r}.")
    badge = mark.get("badge", "A")
    if not isinstance(badge, str) or not 1 <= len(badge) <= 3:
        raise InvalidScheme(f"{field}.badge", "A badge has one to three characters.")


def _only(given: Mapping[str, object], allowed: set[str], prefix: str) -> None:
    unknown = sorted(set(given) - allowed)
    if unknown:
        raise InvalidScheme(f"{prefix}{unknown[0]}", unknown_name(str(unknown[0]), allowed))


def _name(name: object, field: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InvalidScheme(
            field, f"A name has at most 40 characters: lowercase letters, digits, - and _; got {name!r}."
        )
    return name


def _text(given: Mapping[str, object], name: str, prefix: str) -> None:
    text = given.get(name, "")
    if not isinstance(text, str):
        raise InvalidScheme(f"{prefix}{name}", "It must be text.")
    if len(text) > MOST_CHARACTERS[name]:
        raise InvalidScheme(f"{prefix}{name}", f"It has {len(text)} characters; at most {MOST_CHARACTERS[name]}.")
