r"""Formulas in Markdown, as MathML: `$…$` and `\(…\)` in a line, `$$…$$` and `\[…\]` on their own.

What is no formula stays as it was written: money, prose between two dollars, and whatever the converter does not know.
Nothing that comes out is trusted here; the caller cleans it like all other HTML.
"""

import re
from collections.abc import MutableMapping
from functools import lru_cache
from html import escape
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import convert
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

TAGS = {
    "math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace", "msqrt",
    "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover",
}  # fmt: skip
ATTRIBUTES = {
    "math": {"display", "tabindex"},
    "menclose": {"notation"},
    "mfrac": {"linethickness"},
    "mi": {"mathvariant"},
    "mo": {"fence", "form", "lspace", "maxsize", "minsize", "rspace", "separator", "stretchy"},
    "mover": {"accent"},
    "mspace": {"width"},
    "mstyle": {"displaystyle", "scriptlevel"},
    "mtable": {"displaystyle"},
    "mtd": {"columnalign"},
}  # fmt: skip
PARTS = {"mfrac": 2, "mroot": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}
MAX_FORMULA = 2_000  # characters; a longer one is shown as written
MAX_FORMULAS = 10_000  # characters of formulas in a text; those after them are shown as written
CLOSERS = {"$$": "$$", "$": "$", r"\(": r"\)", r"\[": r"\]"}

_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_LESS = "\ue000"  # stands for < on its way through the converter, which would write that one unescaped within \text
_LENGTH = re.compile(r"-?\d{0,2}(\.\d+)?(em|ex|px|pt|mu)?")
_PROSE = re.compile(r"[^\W\d_]{2,}[\s,;.:]+[^\W\d_]{2,}|\d\s+[^\W\d_]{2,}")


@lru_cache(maxsize=256)  # the parser asks about the same formula more than once
def to_mathml(formula: str, *, block: bool) -> str | None:
    """LaTeX as a `<math>` element; None for what cannot be read as one."""
    if len(formula) > MAX_FORMULA or not formula.strip() or re.search(r"(?<!\\)\$", formula):
        return None
    try:
        written = convert(formula.replace("<", _LESS), display="block" if block else "inline")
        root = ElementTree.fromstring(written.replace(f"<mi>{_LESS}</mi>", "<mo>&lt;</mo>").replace(_LESS, "&lt;"))
    except Exception:  # noqa: BLE001 - the converter has many errors, recursion among them, and all mean the same here
        return None
    for element in root.iter():
        element.tag = element.tag.removeprefix(_NAMESPACE)
        known = element.tag in TAGS and len(element) == PARTS.get(element.tag, len(element))
        if not known or "\\" in (element.text or ""):
            return None  # half a fraction, or a command that the converter passed on as letters
        for name in set(element.attrib) - ATTRIBUTES.get(element.tag, set()):
            del element.attrib[name]
        for name in {"lspace", "rspace", "width", "maxsize", "minsize", "linethickness"} & set(element.attrib):
            if not _LENGTH.fullmatch(element.attrib[name]):
                del element.attrib[name]
    if block:
        root.set("tabindex", "0")  # a wide one scrolls sideways
    return ElementTree.tostring(root, encoding="unicode")


def plugin(parser: MarkdownIt) -> None:
    """Teach `parser` formulas. Tokens are `maths_inline` and `maths_block`; their renderers are in here too."""
    parser.inline.ruler.before("escape", "maths_inline", _inline)
    parser.block.ruler.before("fence", "maths_block", _block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    parser.add_render_rule("maths_inline", lambda _self, tokens, at, _options, _env: tokens[at].content)
    parser.add_render_rule("maths_block", lambda _self, tokens, at, _options, _env: f"<p>{tokens[at].content}</p>\n")


def _formula(env: MutableMapping[str, Any], source: str, *, block: bool, counted: bool) -> str | None:
    total = env.get("formulas", 0) + len(source)
    if counted:
        env["formulas"] = total
    return to_mathml(source, block=block) if total <= MAX_FORMULAS else None


def _inline(state: StateInline, silent: bool) -> bool:
    opener = next((one for one in CLOSERS if state.src.startswith(one, state.pos)), None)
    if opener is None:
        return False
    start = state.pos + len(opener)
    end = _closer(state.src, opener, start, min(state.posMax, start + MAX_FORMULA))
    if end < 0 or (opener == "$" and not _is_meant(state.src, start, end)):
        return False
    source = state.src[start:end]
    mathml = _formula(state.env, source, block=opener in ("$$", r"\["), counted=not silent)
    if mathml is None and opener == "$":
        return False
    if not silent:
        token = state.push("maths_inline" if mathml else "text", "", 0)
        token.content = mathml or opener + source + CLOSERS[opener]
    state.pos = end + len(opener)
    return True


def _is_meant(text: str, start: int, end: int) -> bool:
    """Between single dollars, money and prose are as likely as formulas."""
    if text[start - 2 : start - 1].isalnum() or text[end + 1 : end + 2].isdigit():
        return False
    source = text[start:end]
    if source != source.strip():
        return False
    return bool(re.search(r"[\\^_=]", source)) or not _PROSE.search(source)


def _closer(text: str, opener: str, start: int, stop: int) -> int:
    """Where the formula that begins at `start` ends; -1 if it does not before `stop`. An escaped dollar is a sign."""
    end = start
    while (end := text.find(CLOSERS[opener], end, stop)) >= 0:
        escaped = len(text[start:end]) - len(text[start:end].rstrip("\\"))
        if escaped % 2 == 0 and end > start:
            return end
        end += 1
    return -1


def _block(state: StateBlock, first: int, last: int, silent: bool) -> bool:
    """Formulas that begin a line and end one: their lines are no lists, headings or paragraphs."""
    begin = state.bMarks[first] + state.tShift[first]
    opener = next((one for one in ("$$", r"\[") if state.src.startswith(one, begin)), None)
    if opener is None or state.is_code_block(first):
        return False
    lines: list[str] = []
    for line in range(first, last):
        if line > first and state.sCount[line] < state.blkIndent:
            return False
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
        whole = "\n".join(lines)
        if len(whole) > MAX_FORMULA:
            return False
        end = _closer(whole, opener, 2, len(whole))
        if end < 0:
            continue
        if whole[end + 2 :].strip(" .,;"):
            return False  # goes on after it: a formula within a paragraph
        if not silent:
            mathml = _formula(state.env, whole[2:end], block=True, counted=True)
            token = state.push("maths_block", "math", 0)
            token.content = mathml + whole[end + 2 :].strip() if mathml else escape(whole).replace("\n", "<br>\n")
            token.map, token.block = [first, line + 1], True
        state.line = line + 1
        return True
    return False
