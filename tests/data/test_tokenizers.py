"""Any text is shown in tokens, of one tokenizer or two, in the page and over REST; nothing of it is lost on the way."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from feedback.models import KeptTokenizer, ModelVersion, Person, Project
from feedback.selectors.data import tokenizers as asked
from feedback.services.data import tokenizers
from tests.conftest import ClientFor
from tests.factories import make_model

PAGE = "/p/desk/models/tokens/"
TEXT = "low lower  lowest\n🐙<|end|>"


def tokenizer(folder: Path, size: int) -> Path:
    """A byte-level BPE of its own, as the trainer leaves it."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        ["low lower lowest"] * 9,
        trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
        ),
    )
    folder.mkdir()
    made.save(str(folder / asked.FILE))
    return folder


def version(project: Project, by: Person, folder: Path) -> ModelVersion:
    tokenizers.keep(folder)
    digest = KeptTokenizer.objects.latest("pk").sha256
    made = make_model(project, by)
    ModelVersion.objects.filter(pk=made.pk).update(manifest={"files": {asked.FILE: {"sha256": digest}}})
    made.refresh_from_db()
    return made


@pytest.fixture
def two(project: Project, ada: Person, tmp_path: Path) -> tuple[ModelVersion, ModelVersion]:
    return version(project, ada, tokenizer(tmp_path / "a", 300)), version(project, ada, tokenizer(tmp_path / "b", 258))


def test_a_text_falls_into_pieces_that_give_it_back(two: tuple[ModelVersion, ModelVersion]) -> None:
    fall = asked.fall(two[0], TEXT)
    assert fall.comes_back and fall.algorithm == "BPE"
    assert fall.bytes == len(TEXT.encode()) and fall.bytes_per_token == fall.bytes / len(fall.pieces)
    assert [piece.text for piece in fall.pieces][:5] == ["low", " lower", " ", " lowest", "\n"]
    octopus = [piece for piece in fall.pieces if piece.text == "🐙"]
    assert [piece.part for piece in octopus] == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]
    assert [(piece.text, piece.special) for piece in fall.pieces][-1] == ("<|end|>", True)
    assert len(asked.fall(two[1], TEXT).pieces) > len(fall.pieces)


def test_the_page_shows_one_or_two(project: Project, ada: Person, two: Any, signed_in: Any) -> None:
    client: Client = signed_in(ada)
    page = client.get(PAGE).content.decode()
    assert "lighthouse" in page and str(two[1]) in page
    body = {"text": "<b>low\n", "one": str(two[0].public_id), "other": str(two[1].public_id)}
    part = client.post(PAGE, body, HTTP_HX_REQUEST="true").content.decode()
    assert part.lstrip().startswith('<div id="tokens"')
    assert part.count('class="tokens"') == 2 and "⏎" in part
    assert "<b>low" not in part
    assert "the limit is 20,000" in client.post(PAGE, {"text": "x" * 20_001}).content.decode()
    assert "Enter a text above" in client.post(PAGE, {"text": ""}).content.decode()


def test_without_a_tokenizer_the_page_says_what_to_do(project: Project, ada: Person, signed_in: Any) -> None:
    make_model(project, ada)
    assert "No tokenizer yet" in signed_in(ada).get(PAGE).content.decode()


def test_rest_tells_the_same(project: Project, ada: Person, ben: Person, two: Any, client_for: ClientFor) -> None:
    body = {"model": str(two[0].public_id), "text": " low🐙"}
    told = client_for(ada, "read").post("/api/v1/tokenize/", body, format="json").json()
    assert [one["text"] for one in told["tokens"]] == [" low", "🐙", "🐙", "🐙", "🐙"]
    assert told["bytes"] == 8 and told["comes_back"] is True
    assert client_for(ben).post("/api/v1/tokenize/", body, format="json").status_code == 403
    ModelVersion.objects.filter(pk=two[0].pk).update(manifest={})
    assert client_for(ada).post("/api/v1/tokenize/", body, format="json").status_code == 404


def test_a_tokenizer_is_kept_once(two: Any, tmp_path: Path) -> None:
    tokenizers.keep(tmp_path / "a")
    tokenizers.keep(tmp_path)
    assert KeptTokenizer.objects.count() == 2
