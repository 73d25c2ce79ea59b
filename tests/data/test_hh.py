"""HH transcripts go both ways without losing a byte."""

import json
import unicodedata

import pytest

from feedback.formats.annotations import hh

SHORT = "\n\nHuman: My router is slow.\n\nAssistant: Since when?\n\nHuman: Yesterday."


def test_a_transcript_becomes_turns_without_their_leading_space():
    assert hh.parse(SHORT) == [
        {"role": "user", "content": "My router is slow."},
        {"role": "assistant", "content": "Since when?"},
        {"role": "user", "content": "Yesterday."},
    ]
    assert hh.render(hh.parse(SHORT)) == SHORT


def test_two_turns_of_one_role_in_a_row_are_kept():
    text = "\n\nHuman: Hello?\n\nHuman: Anybody there?"
    assert [m["role"] for m in hh.parse(text)] == ["user", "user"]
    assert hh.render(hh.parse(text)) == text


@pytest.mark.parametrize("content", ["", " ", "  two spaces", "ends with lines\n\n", "Human: not a mark", "ü é ﬁ \t"])
def test_odd_texts_render_back(content):
    text = f"\n\nHuman: {content}"
    assert hh.parse(text) == [{"role": "user", "content": content}]
    assert hh.render(hh.parse(text)) == text


@pytest.mark.parametrize("text", ["", "Hello", "Hello\n\nHuman: x", "\n\nHuman:no space"])
def test_what_would_not_render_back_is_refused(text):
    with pytest.raises(hh.InvalidTranscript):
        hh.parse(text)


def test_a_mark_inside_a_text_is_refused_rather_than_read_as_a_turn():
    with pytest.raises(hh.InvalidTranscript, match="another turn"):
        hh.render([{"role": "user", "content": "He said:\n\nAssistant: hi"}])
    with pytest.raises(hh.InvalidTranscript, match="system"):
        hh.render([{"role": "system", "content": "Be kind."}])


def test_a_pair_is_cut_at_the_last_common_assistant_mark():
    one = hh.comparison(SHORT + "\n\nAssistant: Restart it.", SHORT + "\n\nAssistant: Reset it.")
    assert one.prompt == hh.parse(SHORT)
    assert (one.chosen, one.rejected) == (" Restart it.", " Reset it.")  # not " Rest", although both begin so
    assert hh.transcripts(one) == {
        "chosen": SHORT + "\n\nAssistant: Restart it.",
        "rejected": SHORT + "\n\nAssistant: Reset it.",
    }


def test_an_empty_response_is_a_response():
    one = hh.comparison(SHORT + "\n\nAssistant: Restart it.", SHORT + "\n\nAssistant:")
    assert (one.chosen, one.rejected) == (" Restart it.", "")
    assert hh.transcripts(one)["rejected"] == SHORT + "\n\nAssistant:"


def test_a_rest_may_hold_further_turns_and_stays_verbatim():
    rest = " Restart it.\n\nHuman: I did.\n\nAssistant: And?"
    one = hh.comparison(SHORT + "\n\nAssistant:" + rest, SHORT + "\n\nAssistant: No idea.")
    assert one.chosen == rest
    assert hh.transcripts(one)["chosen"] == SHORT + "\n\nAssistant:" + rest


def test_transcripts_without_a_common_assistant_turn_are_refused():
    with pytest.raises(hh.InvalidTranscript, match="share no Assistant turn"):
        hh.comparison("\n\nHuman: a\n\nAssistant: b", "\n\nHuman: c\n\nAssistant: d")


def test_a_broken_line_is_told_by_its_number():
    good = json.dumps({"chosen": SHORT + "\n\nAssistant: a", "rejected": SHORT + "\n\nAssistant: b"})
    rows = hh.read([good, "", '{"chosen": 1}'])
    assert next(rows)[0] == 1
    with pytest.raises(hh.InvalidTranscript, match="Line 3"):
        next(rows)


def test_the_whole_real_file_renders_back(hh_file):
    with hh_file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == 1891
    repeated = 0
    for row in rows:
        one = hh.comparison(row["chosen"], row["rejected"])
        assert hh.transcripts(one) == row
        assert one.prompt[-1]["role"] == "user"
        repeated += any(a["role"] == b["role"] for a, b in zip(one.prompt, one.prompt[1:], strict=False))
        assert unicodedata.is_normalized("NFC", row["chosen"])
    assert repeated == 6
