"""The main text of an HTML page: what its author wrote, without menus, scripts and footers (by resiliparse)."""

import re

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

DEEPEST = 1000  # nested elements; the extractor's time grows with the square of it
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
# Elements without an end, or whose end may be left out: they do not nest as they are counted.
_FLAT = re.compile(
    "area|base|body|br|col|dd|dt|embed|head|hr|html|img|input|li|link|meta|option|p|param|source|td|th|tr|track|wbr",
    re.IGNORECASE,
)


class UnreadablePage(ValueError):
    """The page cannot be read; the sentence says why."""


def main_text(page: bytes) -> str:
    """Headings and paragraphs of the page, apart by line ends.

    Raises:
        UnreadablePage: its elements are nested too deep.
    """
    text = decoded(page)
    depth = deepest = 0
    for end, name in _TAG.findall(text):
        if not _FLAT.fullmatch(name):
            depth = max(0, depth - 1) if end else depth + 1
            deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise UnreadablePage(f"Its elements are nested {deepest} deep; at most {DEEPEST} can be read.")
    extracted: str = extract_plain_text(text, main_content=True, alt_texts=False, links=False, form_fields=False)
    return extracted.strip()


def decoded(page: bytes) -> str:
    try:
        return page.decode("utf-8-sig")
    except UnicodeDecodeError:
        return str(bytes_to_str(page, detect_encoding(page) or "latin-1"))
