"""Model text as safe HTML. It is never trusted: no raw HTML is rendered, and only a short list of tags comes out."""

from functools import lru_cache
from html import escape

import nh3
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from feedback.formats import maths

# No img: a picture from elsewhere would tell its owner who reads, and when.
TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "s", "span",
    "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}, "code": {"class"}, "span": {"class"}, "pre": {"class"}}
MAX_TEXT = 40_000  # characters; longer ones are shown as written, as is what passes one of the next bounds
MAX_BRACKETS = 2_000  # what they cost grows with the square of their number
MAX_MARKS = 5_000  # characters that may mean something; each is a piece of HTML at worst
MAX_LINES = 3_000
MAX_CELLS = 10_000  # of tables: lines with bars, times the bars of the longest
MARKS = "[]*_`~|<&#>$\\"
MAX_HIGHLIGHTED = 5_000  # characters of code in a text; what comes after them is shown plain
# Pygments' other lexers, C and Java among them, can be held up for minutes by a few thousand well-chosen characters.
LANGUAGES = {
    "bash", "css", "diff", "go", "html", "javascript", "js", "json", "kotlin", "php", "py", "python", "rb", "ruby",
    "rust", "sh", "shell", "sql", "swift", "toml", "ts", "typescript", "xml", "yaml", "yml",
}  # fmt: skip

_formatter = HtmlFormatter(nowrap=True, classprefix="hl-")


def _highlighted(code: str, language: str, _attrs: str) -> str:
    if language.lower() not in LANGUAGES:
        return ""
    return str(highlight(code, get_lexer_by_name(language), _formatter))


def _renderer(breaks: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": breaks, "highlight": _highlighted})
    return parser.enable(["table", "strikethrough"]).use(maths.plugin)


_parsers = {breaks: _renderer(breaks) for breaks in (True, False)}


@lru_cache(maxsize=1024)
def to_html(text: str, breaks: bool = True) -> str:
    """`text` as HTML that holds nothing but the tags above. Headings start at the third level, below a page's own.

    Args:
        breaks: whether a line end within a paragraph is a line break, as models and people in a chat mean it. In a
            document that its author has wrapped at some width, such as guidelines, it is a space.
    """
    parser = _parsers[breaks]
    if _costly(text):
        return f'<pre tabindex="0">{escape(text)}</pre>'
    env: dict[str, int] = {}
    tokens = parser.parse(text, env)
    code = 0
    for token in tokens:
        if token.type == "fence":
            code += len(token.content)
            if code > MAX_HIGHLIGHTED:
                token.info = ""
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
    html = parser.renderer.render(tokens, parser.options, env)
    return nh3.clean(
        html,
        tags=TAGS | maths.TAGS,
        attributes=ATTRIBUTES | maths.ATTRIBUTES,
        set_tag_attribute_values={"pre": {"tabindex": "0"}, "table": {"tabindex": "0"}},  # they scroll sideways
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _costly(text: str) -> bool:
    """Whether laying it out could take long: what is within these bounds takes a tenth of a second at most."""
    if len(text) > MAX_TEXT or text.count("[") > MAX_BRACKETS or text.count("\n") > MAX_LINES:
        return True
    if sum(map(text.count, MARKS)) > MAX_MARKS:
        return True
    bars = [line.count("|") for line in text.splitlines() if "|" in line]
    return bool(bars) and len(bars) * max(bars) > MAX_CELLS
