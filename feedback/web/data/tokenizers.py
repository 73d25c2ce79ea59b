"""The tokens of any text, by one tokenizer or by two side by side."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse

from feedback.models import ModelVersion, Project
from feedback.selectors.data import tokenizers as tokenizer_selectors
from feedback.selectors.data.tokenizers import Fall, Piece
from feedback.selectors.platform.access import ADMIN
from feedback.web.htmx import page_or_partial
from feedback.web.pages import project_page

EXAMPLE = "Good morrow, cousin! The lighthouse keepers un-believably re-tied 1,024 knots. Größe, 東京, 🐙"
MARKS = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"})
SHADES = 4


@dataclass(frozen=True)
class Shown:
    """A token as it is drawn. Invisible characters have a mark, and neighbors differ in shade."""

    piece: Piece
    shade: int

    @property
    def text(self) -> str:
        return self.piece.text.translate(MARKS) or "∅"

    @property
    def ends_line(self) -> bool:
        return "\n" in self.piece.text


@dataclass(frozen=True)
class Column:
    fall: Fall
    tokens: list[Shown]


@project_page(ADMIN)
def tokens(request: HttpRequest, project: Project) -> HttpResponse:
    """The page; for htmx, while somebody types, only the drawing of the tokens."""
    versions = tokenizer_selectors.versions(project)
    text = request.POST.get("text", EXAMPLE).replace("\r\n", "\n")
    chosen = [_chosen(request, "one", versions, 0), _chosen(request, "other", versions, None)]
    too_long = len(text) > tokenizer_selectors.LONGEST
    columns = []
    for version in chosen:
        if version is not None and not too_long:
            columns.append(_column(tokenizer_selectors.fall(version, text)))
    context = {
        "project": project,
        "versions": versions,
        "one": chosen[0],
        "other": chosen[1],
        "text": text,
        "columns": columns,
        "too_long": too_long,
        "longest": tokenizer_selectors.LONGEST,
        "characters": len(text),
        "bytes": len(text.encode()),
        "words": len(text.split()),
        "most": max((column.fall.bytes_per_token for column in columns), default=0),
    }
    return page_or_partial(request, "registry/tokens", context)


def _chosen(request: HttpRequest, name: str, versions: list[ModelVersion], usual: int | None) -> ModelVersion | None:
    key = request.POST.get(name, request.GET.get(name))
    for version in versions:
        if str(version.public_id) == key:
            return version
    if not versions or usual is None:
        return None
    return versions[usual]


def _column(fall: Fall) -> Column:
    return Column(fall, [Shown(piece, place % SHADES) for place, piece in enumerate(fall.pieces)])
