"""Label Studio: task files, and exports of its Pairwise and Ranker controls.

Its winner is a place (left, right): here the first text is left, and the place becomes a letter at once. What else a
task or an annotation holds (ids, times) is kept as metadata and given back.
"""

from collections.abc import Iterator
from typing import Any

from feedback.formats.items import (
    LETTERS,
    PROMPT,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    Said,
    an_object,
    need,
    prefers,
    rest,
)

KEY = "label_studio"
PROMPTS = ("prompt", "question", "instruction", "input", "text")
RESPONSES = ("answer", "response", "output", "completion", "option")
SIDES = {"left": "a", "right": "b"}


def read(row: Any, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    whole = "data" in given
    data = need(given, "data", dict) if whole else given
    prompt = next((name for name in PROMPTS if isinstance(data.get(name), str)), None)
    if prompt is None:
        raise InvalidRow("data", f"There is no prompt in it; it is looked for under {', '.join(PROMPTS)}.")
    kept: Row = {"prompt": prompt, "whole": whole}
    names, texts = _responses(data, prompt)
    kept["names"] = names
    if isinstance(data.get("items"), list):
        kept["items"] = [rest(one, "body", "html") for one in data["items"]]
    if extra := rest(data, prompt, "items", *names):
        kept["data"] = extra
    said, plain = [], []
    for place, annotation in enumerate(given.get("annotations") or [] if whole else []):
        one = _said(annotation, names, f"annotations[{place}]", defaults)
        plain.append(annotation if one is None else _without_value(annotation))
        if one is not None:
            said.append(one)
    if whole:
        kept["task"] = rest(given, "data", "annotations")
        kept["annotations"] = plain
    kind = PROMPT if len(texts) < 2 else "comparison" if len(texts) == 2 else "ranking"
    if said and "ranking" in said[0].answer:
        kind = "ranking"
    responses = [Candidate(text) for text in texts]
    messages = [{"role": "user", "content": data[prompt]}]
    yield Item(kind, messages, responses, said, source=defaults.source, metadata={KEY: kept})


def write(item: Item) -> Iterator[Row | LeftOut]:
    """A task with its annotations. Strength and dimensions have no place in the Pairwise control."""
    if item.kind not in (PROMPT, "comparison", "conversation", "ranking"):
        yield LeftOut(f"a {item.kind} is neither Pairwise nor Ranker")
        return
    kept = item.metadata.get(KEY, {})
    if not kept and (len(item.prompt) > 1 or item.prompt[0]["role"] != "user"):
        yield LeftOut("a conversation of several turns")
        return
    names = kept.get("names") or [
        f"answer{place + 1}" if item.kind != "ranking" else letter
        for place, letter in enumerate(LETTERS[: len(item.responses)])
    ]
    data: Row = {kept.get("prompt", "prompt"): item.prompt[-1]["content"]}
    if "items" in kept or (item.kind == "ranking" and not kept):
        items = kept.get("items") or [{"id": name} for name in names]
        data["items"] = [one | {"body": r.text} for one, r in zip(items, item.responses, strict=True)]
    else:
        data |= {name: response.text for name, response in zip(names, item.responses, strict=True)}
    data |= kept.get("data", {})
    if kept and not kept["whole"] and not item.answers:
        yield data
        return
    annotations = [row for row in kept.get("annotations", []) if not _has_place(row)]
    places = [row for row in kept.get("annotations", []) if _has_place(row)]
    written = []
    for place, said in enumerate(item.answers):
        value = _value(item, said, names)
        if isinstance(value, LeftOut):
            yield value
            continue
        written.append(_annotation(places[place] if place < len(places) else None, said, value))
    yield kept.get("task", {}) | {"data": data, "annotations": written + annotations}


def _responses(data: Row, prompt: str) -> tuple[list[str], list[str]]:
    if isinstance(data.get("items"), list):
        items = data["items"]
        if not all(isinstance(one, dict) and isinstance(one.get("body", one.get("html")), str) for one in items):
            raise InvalidRow("data.items", "It must be a list of objects with id and body.")
        return [str(one.get("id")) for one in items], [one.get("body", one.get("html")) for one in items]
    names = [n for n, v in data.items() if n != prompt and isinstance(v, str) and n.lower().startswith(RESPONSES)]
    return names, [data[name] for name in names]


def _said(annotation: Any, names: list[str], where: str, defaults: Defaults) -> Said | None:
    """The answer in an annotation; None for a cancelled or empty one."""
    one = an_object(annotation)
    results = one.get("result")
    if one.get("was_cancelled") or not results:
        return None
    if not isinstance(results, list) or len(results) != 1 or not isinstance(results[0], dict):
        raise InvalidRow(where + ".result", "It must hold one result.")
    value = need(results[0], "value", dict, where + ".result[0].")
    said = Said(_annotator(one.get("completed_by"), defaults), {}, source=defaults.source)
    said.seconds = min(86400.0, float(one.get("lead_time") or 0))
    if "selected" in value:
        if value["selected"] not in SIDES or len(names) != 2:
            raise InvalidRow(where + ".result[0].value.selected", "It must be left or right, of two texts.")
        said.answer, said.shown = prefers(SIDES[value["selected"]]), ["a", "b"]
        return said
    ranked = value.get("ranker")
    if isinstance(ranked, dict):  # the list form has been exported under the control's name as well
        lists = [one for name, one in ranked.items() if name != "_"]
        ranked = lists[0] if len(lists) == 1 else None
    if not isinstance(ranked, list) or sorted(map(str, ranked)) != sorted(names):
        raise InvalidRow(where + ".result[0].value.ranker", "It must hold the id of every item once, best first.")
    said.answer = {"ranking": [[LETTERS[names.index(str(name))]] for name in ranked]}
    return said


def _value(item: Item, said: Said, names: list[str]) -> Row | LeftOut:
    if "ranking" in said.answer:
        if any(len(group) > 1 for group in said.answer["ranking"]):
            return LeftOut("a tie in a ranking")
        return {"ranker": [names[LETTERS.index(group[0])] for group in said.answer["ranking"]]}
    if said.answer["outcome"] != "prefer":
        return LeftOut(f"an answer {said.answer['outcome']}")
    return {"selected": "left" if said.answer["choice"] == "a" else "right"}


def _annotation(kept: Row | None, said: Said, value: Row) -> Row:
    if kept is not None:
        return kept | {"result": [{"value": value} | rest(kept["result"][0], "value")]}
    control = {"type": "ranker", "from_name": "rank", "to_name": "results"}
    if "selected" in value:
        control = {"type": "pairwise", "from_name": "comparison", "to_name": "comparison"}
    result = {"value": value, "origin": "manual"} | control
    return {"completed_by": said.annotator, "was_cancelled": False, "lead_time": said.seconds, "result": [result]}


def _without_value(annotation: Row) -> Row:
    return annotation | {"result": [rest(annotation["result"][0], "value")]}


def _has_place(annotation: Row) -> bool:
    result = annotation.get("result") or []
    return len(result) > 0 and not annotation.get("was_cancelled") and "value" not in result[0]


def _annotator(given: Any, defaults: Defaults) -> str:
    if isinstance(given, dict):
        given = given.get("email") or given.get("id")
    return defaults.annotator if given is None else str(given)
