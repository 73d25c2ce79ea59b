"""The real HH file goes in over REST and comes out byte for byte."""

import json
from collections import Counter
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from feedback.formats.annotations import hh
from feedback.models import Person, PreferencePair
from tests.factories import token_of

pytestmark = pytest.mark.database

ROW = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello there.",
    "rejected": "\n\nHuman: Hi\n\nAssistant:",
}


def as_hh(line: str) -> dict[str, str]:
    row = json.loads(line)
    return hh.transcripts(hh.Comparison(row["prompt"], row["chosen"][0]["content"], row["rejected"][0]["content"]))


def multiset(rows) -> Counter[tuple[bytes, bytes]]:
    return Counter((row["chosen"].encode(), row["rejected"].encode()) for row in rows)


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.long)])
def test_every_row_comes_out_as_it_went_in(project, ada, client_for, hh_file, step):
    """Every eighth row, and in the long tests all; that a file of them all is imported, `test_import.py` shows."""
    client = client_for(ada, "data")
    with hh_file.open(encoding="utf-8") as lines:
        original = [json.loads(line) for line in lines]
    assert len(original) == 1891
    original = original[::step]
    for start in range(0, len(original), 100):
        items = []
        for number, row in enumerate(original[start : start + 100], start):
            one = hh.comparison(row["chosen"], row["rejected"])
            items.append(
                {
                    "project": "desk",
                    "prompt": one.prompt,
                    "chosen": one.chosen,
                    "rejected": one.rejected,
                    "source": "hh",
                    "annotator": "hh",
                    "external_id": f"row-{number}",
                }
            )
        reply = client.post("/api/v1/preferences/", items)
        assert {one["status"] for one in reply.json()} == {201}
    reply = client.get("/api/v1/preferences/?project=desk", HTTP_ACCEPT="application/x-ndjson")
    came = [as_hh(line) for line in reply.getvalue().decode().splitlines()]
    assert len(came) == len(original)
    assert multiset(came) == multiset(original)
    splits = Counter(PreferencePair.objects.values_list("prompt__split", flat=True))
    assert set(splits) == {"train", "selection", "test"}
    assert 0.75 < splits["train"] / len(original) < 0.85
    assert Person.objects.filter(source="hh").count() == 1


@pytest.fixture
def send(live_server, project, ada, tmp_path):
    """`send(rows, …)`: what the command printed."""
    token = tmp_path / "token"
    token.write_text(token_of(ada, "data"))

    def run(rows, **options) -> str:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
        out = StringIO()
        settings = {"url": live_server.url, "token": f"@{token}", "project": "desk"} | options
        call_command("send_hh", str(path), stdout=out, stderr=out, **settings)
        return out.getvalue()

    return run


@pytest.mark.django_db(transaction=True)
class TestTheClient:
    def test_it_sends_and_sending_again_adds_nothing(self, send):
        rows = [ROW, {"chosen": ROW["rejected"], "rejected": ROW["chosen"]}, ROW]
        assert "2 new, 1 there before, 0 refused" in send(rows, at_once=2)
        assert "0 new, 3 there before, 0 refused" in send(rows, at_once=2)
        assert PreferencePair.objects.count() == 2

    def test_a_row_that_is_refused_is_named_by_its_line(self, send):
        same = {"chosen": ROW["chosen"], "rejected": ROW["chosen"]}
        with pytest.raises(CommandError, match="1 rows were refused"):
            send([ROW, same])
        assert PreferencePair.objects.count() == 1

    def test_a_broken_line_is_told(self, send):
        with pytest.raises(CommandError, match="Line 2"):
            send([ROW, "no json\n"], at_once=1)
        assert PreferencePair.objects.count() == 1

    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({"token": "ts_guess"}, "401: This token is unknown"),
            ({"project": "nowhere"}, "refused"),
            ({"url": "ftp://x"}, "not the address"),
            ({"at_once": 0}, "between 1 and 200"),
        ],
    )
    def test_what_cannot_work_is_told_in_a_sentence(self, send, options, why):
        with pytest.raises(CommandError, match=why):
            send([ROW], **options)
        assert PreferencePair.objects.count() == 0

    def test_a_service_that_is_away_is_told(self, send, monkeypatch):
        monkeypatch.setattr("feedback.management.commands.send_hh.GIVE_UP_SECONDS", 0.5)
        with pytest.raises(CommandError, match="No reply from the service"):
            send([ROW], url="http://127.0.0.1:9")
