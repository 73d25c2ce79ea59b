"""Formulas in a response are shown as formulas, money as money, and what cannot be read as it was written."""

import re

import pytest

from feedback.formats.markdown import to_html
from feedback.formats.maths import ATTRIBUTES, TAGS

SQUARE = "<msup><mi>x</mi><mn>2</mn></msup>"


@pytest.mark.parametrize(
    ("text", "display"),
    [("so $x^2$.", "inline"), (r"so \(x^2\).", "inline"), ("$$x^2$$", "block"), (r"\[x^2\]", "block")],
)
def test_all_four_ways_to_write_a_formula(text: str, display: str) -> None:
    focusable = ' tabindex="0"' if display == "block" else ""
    assert f'<math display="{display}"{focusable}><mrow>{SQUARE}</mrow></math>' in to_html(text)


def test_a_formula_of_several_lines_is_no_list_and_lies_within_one() -> None:
    html = to_html("- so\n\n  $$\n  a\n  - b\n  = c\n  $$\n\nand on")
    assert html.count("<li>") == 1 and "<h" not in html
    assert re.findall(r"<m[io]>(.)</m[io]>", html) == ["a", "−", "b", "=", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and $6.",
        "I have $20 and she has $30.",
        "It is $5; the other one costs US$ 6.",
        "From $5 or 6$ on.",
        "a $ b $ c",
        r"\$x\$",
    ],
)
def test_money_and_prose_are_no_formulas(text: str) -> None:
    assert to_html(text) == f"<p>{text.replace(chr(92), '')}</p>\n"


@pytest.mark.parametrize("text", [r"$\frac{1}$", r"\(\nosuch x\)", r"\(x^{\)", "$x_1_2$", r"\(" + "{" * 1500 + r"\)"])
def test_a_broken_formula_stays_as_it_was_written(text: str) -> None:
    assert to_html(text) == f"<p>{text}</p>\n"
    assert to_html(r"\[" + "\n- 1 &\n" + r"\]") == "<p>\\[<br>\n- 1 &amp;<br>\n\\]</p>\n"


def test_code_keeps_its_dollars() -> None:
    assert (
        to_html("`$x$`\n\n```\n$$x$$\n```") == '<p><code>$x$</code></p>\n<pre tabindex="0"><code>$$x$$\n</code></pre>\n'
    )


def test_a_smaller_than_is_shown() -> None:
    assert "<mi>a</mi><mo>&lt;</mo><mi>b</mi>" in to_html("$a<b$")


HOSTILE = [
    r"$\text{<script>alert(1)</script>}$",
    r"\(\text{<img src=x onerror=alert(1)>}\)",
    r"$$\text{</mtext></math><style>*{}</style>}$$",
    r"$\text{&lt;script&gt;}$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$\style{position:fixed}{x}$",
    r"$\class{dialog}{x}$",
    r"$\text{<annotation-xml encoding='text/html'><b onclick=x>}$",
    r"$\hskip 99999em x$",
    "<math><mtext><mglyph><svg><mtext><style><path id='</style><img onerror=alert(1) src>'>",
    "<math href='javascript:alert(1)'><maction actiontype='statusline#x'>x</maction></math>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_formulas_come_out_harmless(text: str) -> None:
    html = to_html(text)
    for tag, attributes in re.findall(r"<([a-z0-9-]+)((?:\s[^<>]*)?)>", html):
        assert tag in TAGS | {"p", "br"}
        assert set(re.findall(r"([\w-]+)=", attributes)) <= ATTRIBUTES.get(tag, set()), html
    assert "99999" not in html
