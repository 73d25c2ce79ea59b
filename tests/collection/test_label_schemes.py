"""Label schemes: what is refused, by field, and what is filled in."""

from typing import Any

import pytest

from feedback.rules.collection import label_schemes
from tests.kinds import SCHEMES

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"kind": "ranking"}, "kind"),
    ({"labels": []}, "labels"),
    ({"labels": [{"name": "Ä b"}]}, "labels[0].name"),
    ({"labels": [{"name": "a"}, {"name": "a"}]}, "labels[1].name"),
    ({"labels": [{"name": "a", "key": "12"}]}, "labels[0].key"),
    ({"labels": [{"name": "a", "key": "s"}]}, "labels[0].key"),
    ({"labels": [{"name": "a", "key": "x"}, {"name": "b", "key": "x"}]}, "labels[1].key"),
    ({"labels": [{"name": "a", "mark": {"colour": "mauve"}}]}, "labels[0].mark.colour"),
    ({"labels": [{"name": "a", "mark": {"badge": ""}}]}, "labels[0].mark.badge"),
    ({"labels": [{"name": "a", "definition": "x" * 501}]}, "labels[0].definition"),
    ({"labels": ["a"]}, "labels[0]"),
    ({"many": "yes"}, "many"),
    ({"name": "other"}, "name"),
    ({"colour": "blue"}, "colour"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_the_field_that_is_wrong_is_named(change: dict[str, Any], field: str) -> None:
    with pytest.raises(label_schemes.InvalidScheme) as caught:
        label_schemes.check({"kind": "spans", "labels": [{"name": "a"}]} | change, "topic")
    assert caught.value.field == field and caught.value.sentence


def test_a_set_of_151_intents_is_a_scheme_and_301_are_too_many() -> None:
    labels: list[label_schemes.Label] = [{"name": f"intent-{number}"} for number in range(301)]
    label_schemes.check({"kind": "classification", "labels": labels[:151]}, "intent")
    assert len(label_schemes.complete({"kind": "classification", "labels": labels[:300]})["labels"]) == 300
    with pytest.raises(label_schemes.InvalidScheme, match="At most 300 labels; got 301"):
        label_schemes.check({"kind": "classification", "labels": labels}, "intent")


def test_good_schemes_pass_and_keys_and_marks_are_filled_in() -> None:
    label_schemes.check_all(SCHEMES)
    shown = label_schemes.complete(SCHEMES["topic"])
    assert [one["key"] for one in shown["labels"]] == ["d", "1", "2"]
    assert [one["title"] for one in shown["labels"]] == ["Device", "Account", "Billing"]
    assert len({(one["mark"]["colour"], one["mark"]["underline"]) for one in shown["labels"]}) == 3


def test_thirty_labels_have_thirty_keys_that_the_desk_does_not_use() -> None:
    labels: list[label_schemes.Label] = [{"name": f"label-{number}"} for number in range(30)]
    shown = label_schemes.complete({"kind": "spans", "labels": labels})
    keys = [one["key"] for one in shown["labels"]]
    assert len(set(keys)) == 30 and not set(keys) & set(label_schemes.TAKEN_KEYS)
