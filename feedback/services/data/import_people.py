"""The people that an item names, and the thumbs of a row of kind thumb."""

from collections.abc import Iterator

from feedback.formats.annotations.items import THUMB, InvalidRow, Item, Opinion, Who


def of(item: Item) -> Iterator[Who]:
    """All people that an item names: annotators, reviewers, authors, and givers of thumbs."""
    for task in (item, *item.tasks):
        for annotation in task.answers:
            yield Who(annotation.annotator, annotation.source)
            if annotation.corrected_by is not None:
                yield annotation.corrected_by
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
        InvalidRow: an answer of a row of kind thumb is not a thumb.
    """
    if item.kind != THUMB:
        return item.thumbs
    found: list[Opinion] = []
    for place, annotation in enumerate(item.answers):
        if set(annotation.answer) != {"up"} or not isinstance(annotation.answer["up"], bool):
            raise InvalidRow(f"answers[{place}].answer", 'A thumb is {"up": true} or {"up": false}.')
        who = Who(annotation.annotator, annotation.source)
        found.append(Opinion(0, who, annotation.answer["up"], at=annotation.at))
    return found
