"""Open-Assistant: message trees, and the rankings made from them.

Every message of a prompter becomes an item: the conversation up to it, and the assistant's replies to it. Ranks of all
replies are a ranking by everybody who ranked (rank 0 is best). A message that was deleted, or that failed its review,
is left out with what answers it; so is a tree that was stopped. What else a message holds is kept, so that a tree can
be put together again from its items, which follow each other.
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

from feedback.formats.annotations import provenance
from feedback.formats.annotations.item_kinds import ORDERED, order_in, ordered
from feedback.formats.annotations.items import (
    LETTERS,
    PROMPT,
    AnnotationItem,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Message,
    Note,
    Row,
    an_object,
    need,
    rest,
)
from feedback.rules.collection.rank_groups import groups_of, ranks_of
from feedback.rules.json_types import is_list_of

KEY = provenance.OPENASSISTANT
ROLES = {"prompter": "user", "assistant": "assistant", "system": "system"}
NAMES = {role: name for name, role in ROLES.items()}
EVERYBODY = "consensus"
MOST_DEEP = 50
STOPPED = ("aborted_low_grade", "halted_by_moderator")


def read(row: object, defaults: Defaults) -> Iterator[Item | LeftOut | Note]:
    given = an_object(row)
    if "tree_id" in given and "responses" in given:
        yield _ranking(given, defaults)
    elif given.get("tree_state") in STOPPED:
        yield LeftOut(f"a message tree that was stopped ({given['tree_state']})")
    elif "message_tree_id" in given and "prompt" in given:
        tree = rest(given, "prompt")
        yield from _messages(need(given, "prompt", dict), [], tree, defaults, "prompt", 0)
    else:
        raise InvalidRow(
            "message_tree_id", "A row is a tree (message_tree_id, prompt) or a ranking (tree_id, responses)."
        )


def write(items: Iterable[Item]) -> Iterator[Row | LeftOut]:
    """Trees and rankings from items in the order in which they were brought in."""
    for tree, members in groupby(items, key=_Trees()):
        if tree is None:
            for item in members:
                yield _written_ranking(item)
        else:
            yield from _written_tree(list(members))


def _messages(
    one: Row, before: list[Message], tree: Row | None, defaults: Defaults, where: str, depth: int
) -> Iterator[Item | LeftOut | Note]:
    """The item of a prompter's message, then those of the prompters who answered its replies."""
    if depth > MOST_DEEP:
        raise InvalidRow("prompt", f"The tree is deeper than {MOST_DEEP} turns.")
    if one.get("role") != "prompter":
        raise InvalidRow(f"{where}.role", f"A prompter's turn was expected; this is {one.get('role')!r}.")
    if is_out := _out(one):
        yield LeftOut(is_out)
        return
    messages = [*before, {"role": "user", "content": need(one, "text", str, f"{where}.")}]
    every = need(one, "replies", list, f"{where}.") if "replies" in one else []
    for place, reply in enumerate(every):
        if an_object(reply).get("role") != "assistant":
            raise InvalidRow(f"{where}.replies[{place}].role", "An assistant's turn was expected.")
        need(reply, "text", str, f"{where}.replies[{place}].")
    kept: Row = {"message": rest(one, "text", "replies"), "replies": [], "leaf": ["replies" not in one]}
    responses: list[Candidate] = []
    ranks: list[object] = []
    for reply in every:
        if _out(reply):
            continue
        kept["replies"].append(rest(reply, "text", "replies"))
        kept["leaf"].append("replies" not in reply)
        responses.append(Candidate(reply["text"], str(reply.get("model_name") or "")[:200]))
        ranks.append(reply.get("rank"))
    if tree is not None:
        kept["tree"] = tree
    kept["id"] = need(one, "message_id", str, f"{where}.")
    item = Item(PROMPT, messages, responses, external_id=kept["id"], source=defaults.source, provenance={KEY: kept})
    if 2 <= len(ranks) <= len(LETTERS) and is_list_of(ranks, int):
        item.kind, item.answers = ORDERED, [_everybody(ranks, defaults)]
    yield item
    yield from map(LeftOut, filter(None, map(_out, every)))
    for place, reply in enumerate(every):
        if _out(reply):
            continue
        after = [*messages, {"role": "assistant", "content": reply["text"]}]
        for number, following in enumerate(reply.get("replies") or []):
            at = f"{where}.replies[{place}].replies[{number}]"
            yield from _messages(an_object(following), after, None, defaults, at, depth + 1)


def _out(message: Row) -> str:
    """Why a message is none that anybody should learn from; empty where it is one."""
    why = ""
    if message.get("deleted"):
        why = "a message that was deleted"
    elif message.get("review_result") is False:
        why = "a message that failed its review"
    return f"{why}, with its replies" if why and message.get("replies") else why


def _ranking(given: Row, defaults: Defaults) -> Item:
    messages = [_message(one, place) for place, one in enumerate(need(given, "messages", list))]
    texts, ranks = need(given, "responses", list), need(given, "ranks", list)
    if not is_list_of(texts, str):
        raise InvalidRow("responses", "It must be a list of texts.")
    if len(ranks) != len(texts) or not is_list_of(ranks, int):
        raise InvalidRow("ranks", "It must have a whole number for every response.")
    if len(texts) > len(LETTERS):
        raise InvalidRow("responses", f"At most {len(LETTERS)} responses can be ranked; these are {len(texts)}.")
    kept = {"ranking": rest(given, "messages", "responses", "ranks"), "ranks": ranks}
    item = Item(ORDERED, messages, list(map(Candidate, texts)), [_everybody(ranks, defaults)])
    item.source, item.provenance = defaults.source, {KEY: kept}
    return item


def _everybody(ranks: list[int], defaults: Defaults) -> AnnotationItem:
    by_letter = dict(zip(LETTERS, ranks, strict=False))
    return AnnotationItem(EVERYBODY, ordered(groups_of(by_letter)), source=defaults.source)


def _message(given: object, place: int) -> Message:
    one = an_object(given)
    if one.get("role") not in ROLES:
        raise InvalidRow(f"messages[{place}].role", f"It must be one of {', '.join(ROLES)}.")
    return {"role": ROLES[one["role"]], "content": need(one, "content", str, f"messages[{place}].")}


class _Trees:
    """Numbers the trees: items of one follow each other, and the first of them holds what is the tree's own."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, item: Item) -> int | None:
        kept = provenance.kept(item, KEY)
        if "message" not in kept:
            return None
        self.number += "tree" in kept
        return self.number


def _written_ranking(item: Item) -> Row | LeftOut:
    kept = provenance.kept(item, KEY)
    if not kept:
        return LeftOut("a task that did not come from a message tree")
    ranks = _ranks(item, kept["ranks"])
    if ranks is None:
        return LeftOut(f"a {item.kind} without a ranking")
    messages = [{"role": NAMES[one["role"]], "content": one["content"]} for one in item.prompt]
    own = {"messages": messages, "responses": item.texts, "ranks": ranks}
    return kept["ranking"] | own


def _ranks(item: Item, kept: list[object]) -> list[int] | None:
    """Ranks of the responses by the item's first ranking: as they were reported, where they still say the same."""
    orders = [order_in(annotation.answer) for annotation in item.answers]
    ranking = next(filter(None, orders), None)
    if ranking is None:
        return None
    if len(kept) == len(item.responses) and is_list_of(kept, int):
        reported = groups_of(dict(zip(LETTERS, kept, strict=False)))
        if reported == list(map(sorted, ranking)):
            return kept
    ranks = ranks_of(ranking)
    return [ranks[letter] for letter in LETTERS[: len(item.responses)]]


def _written_tree(items: list[Item]) -> Iterator[Row | LeftOut]:
    """Messages by id first; then every reply takes its place under what it answers."""
    replies_of: dict[str, list[Row]] = {}
    root: Row | None = None
    for item in items:
        kept = provenance.kept(item, KEY)
        message = kept["message"] | {"text": item.prompt[-1]["content"]}
        if not kept["leaf"][0]:
            message["replies"] = replies_of.setdefault(kept["id"], [])
        reported = [reply.get("rank") for reply in kept["replies"]]
        ranks = _ranks(item, reported)
        for place, (reply, response) in enumerate(zip(kept["replies"], item.responses, strict=True)):
            full = reply | {"text": response.text}
            if ranks is not None:
                full["rank"] = ranks[place]
            if kept["leaf"][place + 1 : place + 2] != [True]:
                full["replies"] = replies_of.setdefault(str(reply.get("message_id")), [])
            replies_of.setdefault(kept["id"], []).append(full)
        if "tree" in kept:
            root = kept["tree"] | {"prompt": message}
        else:
            replies_of.setdefault(str(message.get("parent_id")), []).append(message)
    yield root if root is not None else LeftOut("messages whose tree has lost its root")
