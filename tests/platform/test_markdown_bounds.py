"""No text holds a web process: what would take long to lay out is shown as written, at once."""

import time

import pytest

from feedback.formats.markdown import MAX_TEXT, to_html

COSTLY = {
    "images": "![" * 19_500,
    "brackets": "[" * 39_000,
    "pairs of brackets": "[" * 13_000 + "]" * 13_000,
    "links without an end": "[a](" * 9_900,
    "stars": "a*" * 19_000,
    "double stars": "**a" * 13_000,
    "stars and lines": "*_" * 19_000,
    "a wide table": "|" + "a|" * 2000 + "\n|" + "-|" * 2000 + "\n" + ("|" + "b|" * 20 + "\n") * 600,
    "lists": "1. a\n" * 7_900,
    "headings": "# a\n" * 9_900,
    "formulas": "$$a\n" * 9_900,
    "less than": "<" * 39_000,
    "links": "<http://a> " * 3_600,
}


@pytest.mark.parametrize("kind", COSTLY)
def test_what_would_take_long_is_shown_as_written(kind: str) -> None:
    text = COSTLY[kind]
    assert len(text) <= MAX_TEXT
    began = time.thread_time()
    html = to_html(text)
    assert time.thread_time() - began < 0.1
    assert html.startswith("<pre tabindex")


@pytest.mark.parametrize(
    "text",
    ["![" * 999, "[a](" * 400, "*a " * 2_000, "1. a\n" * 1_500, "|a|b|\n|-|-|\n" + "|c|d|\n" * 1_000],
)
def test_what_is_within_the_bounds_is_laid_out_in_a_moment(text: str) -> None:
    began = time.thread_time()
    html = to_html(text)
    assert time.thread_time() - began < 3.0  # a tenth on a quiet machine
    assert not html.startswith("<pre")


def test_ordinary_long_answers_are_laid_out() -> None:
    paragraph = "A **bold** word, a [link](https://example.org), `code` and a list:\n\n- one\n- two\n\n"
    html = to_html(paragraph * 300)
    assert html.count("<strong>") == html.count("<a ") == 300
