"""HH transcripts as items and back."""

from collections.abc import Iterator

from feedback.formats.annotations import hh
from feedback.formats.annotations.item_kinds import COMPARISON, PAIRWISE
from feedback.formats.annotations.items import (
    AnnotationItem,
    Candidate,
    Defaults,
    InvalidRow,
    Item,
    LeftOut,
    Row,
    an_object,
    best_and_worse,
    need,
    prefers,
)


def read(row: object, defaults: Defaults) -> Iterator[Item]:
    given = an_object(row)
    chosen, rejected = need(given, "chosen", str), need(given, "rejected", str)
    if unknown := given.keys() - {"chosen", "rejected"}:
        raise InvalidRow(min(unknown), "Unknown field; a row has chosen and rejected.")
    try:
        one = hh.comparison(chosen, rejected)
    except hh.InvalidTranscript as error:
        raise InvalidRow("chosen", str(error)) from None
    annotation = AnnotationItem(defaults.annotator, prefers("a"), source=defaults.source)
    responses = [Candidate(one.chosen), Candidate(one.rejected)]
    yield Item(COMPARISON, one.prompt, responses, [annotation], source=defaults.source)


def write(item: Item) -> Iterator[Row | LeftOut]:
    if item.kind not in PAIRWISE:
        yield LeftOut(f"a {item.kind} is not a comparison")
        return
    if not item.answers:
        yield LeftOut("a comparison without an annotation")
    for annotation in item.answers:
        pair = best_and_worse(item, annotation)
        if pair is None:
            yield LeftOut(f"an answer {annotation.answer['outcome']}")
            continue
        try:
            yield hh.transcripts(hh.Comparison(item.prompt, *pair))
        except hh.InvalidTranscript as error:
            yield LeftOut(str(error))
