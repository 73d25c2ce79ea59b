"""The registry of task kinds: the database's choices, the pages and the file formats know the same kinds."""

from pathlib import Path

import pytest

from feedback.models import Kind
from feedback.rules.collection.kinds.registry import KINDS, PAIRWISE, WITH_GOLD, WITH_SCHEME, WRITING, kind_for

DESK = Path("feedback/templates/feedback/collection/desk")


def test_the_database_offers_the_kinds_of_the_registry_in_its_order() -> None:
    assert Kind.values == list(KINDS)
    assert Kind.labels == [kind.label for kind in KINDS.values()]


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_has_a_template_a_key_sheet_and_a_script(name: str) -> None:
    assert (DESK / f"_{name}.html").exists() and (DESK / f"_keys_{name}.html").exists()
    assert Path(f"feedback/static/feedback/kinds/{name}.js").exists()


def test_what_kinds_have_in_common() -> None:
    assert PAIRWISE == ("comparison", "conversation")
    assert WITH_SCHEME == ("classification", "spans")
    assert WRITING == ("demonstration", "conversation")
    assert set(KINDS) - set(WITH_GOLD) == {"demonstration"}


@pytest.mark.parametrize(("responses", "kind"), [(0, ""), (1, ""), (2, "comparison"), (3, "ranking"), (9, "ranking")])
def test_the_number_of_responses_suggests_a_kind(responses: int, kind: str) -> None:
    assert kind_for(responses) == kind
