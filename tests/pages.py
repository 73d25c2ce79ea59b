"""Pages as tests compare them: white space that a browser does not show is folded away, everything else stays."""

import re
from typing import Any

from django.test import Client

KEPT = re.compile(r"(<(pre|textarea|script|style)\b.*?</\2>)", re.DOTALL)
BLOCKS = (
    "address|article|aside|blockquote|body|button|caption|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer"
    "|form|h[1-6]|head|header|hr|html|label|legend|li|link|main|meta|nav|ol|option|p|section|select|summary|table|tbody"
    "|td|template|tfoot|th|thead|title|tr|ul"
)
BORDER = re.compile(rf"\s*(</?(?:{BLOCKS})\b(?:\"[^\"]*\"|'[^']*'|[^>\"'])*>)\s*")
TAG = re.compile(r"<[a-zA-Z!/](?:\"[^\"]*\"|'[^']*'|[^>\"'])*>")


def folded(html: str) -> str:
    """The page with runs of white space as one space, none at the borders of block elements and none before `>`."""
    parts = KEPT.split(html)
    for place in range(0, len(parts), 3):
        text = TAG.sub(lambda tag: _one_line(tag[0]), parts[place])
        parts[place] = BORDER.sub(r"\1", re.sub(r"\s+", " ", text))
        if place + 1 < len(parts):
            parts[place + 2] = ""  # the group that names the element
    return "".join(parts)


def _one_line(tag: str) -> str:
    return re.sub(r"\s*(/?>)$", r"\1", re.sub(r"\s+", " ", tag))


class PageClient(Client):
    """Django's client of the tests; its pages are folded."""

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        html = response.headers.get("Content-Type", "").startswith("text/html")
        if html and not response.streaming:
            response.content = folded(response.content.decode()).encode()
        return response
