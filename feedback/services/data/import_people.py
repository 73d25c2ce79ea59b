"""Whom an item names, and the thumbs of a row that is nothing but thumbs."""

from collections.abc import Iterator

from feedback.formats.annotations.items import THUMB, InvalidRow, Item, Opinion, Who


def of(item: Item) -> Iterator[Who]:
    """Everybody that an item names: annotators, reviewers, authors, and who gave thumbs."""
    for task in (item, *item.tasks):
        for said in task.answers:
            yield Who(said.annotator, said.source)
            if said.corrected_by is not None:
                yield said.corrected_by
        if task.verdict is not None:
            yield task.verdict.reviewer
    for thumb in item.thumbs:
        yield thumb.person
    for response in item.responses:
        if response.author is not None:
            yield response.author


def thumbs(item: Item) -> list[Opinion]:
    """
    Raises:
        InvalidRow: an answer of a row of kind thumb is none.
    """
    if item.kind != THUMB:
        return item.thumbs
    for place, said in enumerate(item.answers):
        if set(said.answer) != {"up"} or not isinstance(said.answer["up"], bool):
            raise InvalidRow(f"answers[{place}].answer", 'A thumb is {"up": true} or {"up": false}.')
    return [Opinion(0, Who(one.annotator, one.source), one.answer["up"], at=one.at) for one in item.answers]
