"""Tokenization of a text by the tokenizers of the registry's versions."""

from dataclasses import dataclass
from functools import lru_cache

from tokenizers import Tokenizer

from feedback.errors import Invalid, NotFound
from feedback.models import KeptTokenizer, ModelVersion, Project

FILE = "tokenizer.json"
LONGEST = 20_000  # characters of a text that is shown
LOOKED_AT = 200  # newest versions that are offered


@dataclass(frozen=True)
class Piece:
    """One token: its id, the text it stands for, where that is (characters, end exclusive).

    `part` is "2 of 3" when the token is one of several that make up a character, which `text` then is; else empty.
    """

    id: int
    text: str
    start: int
    end: int
    special: bool
    part: str = ""


@dataclass(frozen=True)
class Fall:
    """A text in the tokens of a version."""

    version: ModelVersion
    algorithm: str
    vocabulary: int
    pieces: list[Piece]
    bytes: int
    comes_back: bool

    @property
    def bytes_per_token(self) -> float:
        if self.pieces:
            return self.bytes / len(self.pieces)
        return 0.0


def versions(project: Project) -> list[ModelVersion]:
    """Versions whose tokenizer is kept, newest first, each tokenizer once: a tokenizer's own version if it has one."""
    newest = ModelVersion.objects.filter(project=project).order_by("-pk")[:LOOKED_AT]
    by_hash: dict[str, ModelVersion] = {}
    for version in newest:
        key = digest(version)
        if key and (key not in by_hash or version.kind == ModelVersion.Kind.TOKENIZER):
            by_hash[key] = version
    kept = set(KeptTokenizer.objects.filter(sha256__in=by_hash).values_list("sha256", flat=True))
    return sorted((by_hash[one] for one in kept), key=lambda version: -version.pk)


def fall(version: ModelVersion, text: str) -> Fall:
    """Tokenize `text` with the version's tokenizer.

    Raises:
        Invalid: the text is too long to be shown.
        NotFound: the version has no tokenizer that is kept.
    """
    if len(text) > LONGEST:
        raise Invalid(f"The text has {len(text):,} characters; the limit is {LONGEST:,}.", field="text")
    tokenizer = _loaded(digest(version))
    encoded = tokenizer.encode(text, add_special_tokens=False)
    special = {key for key, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    spans = encoded.offsets
    pieces = []
    for place, (key, (start, end)) in enumerate(zip(encoded.ids, spans, strict=True)):
        first, last = place, place
        while first > 0 and spans[first - 1][1] > start and end - start == 1:
            first -= 1
        while last + 1 < len(spans) and spans[last + 1][0] < end and end - start == 1:
            last += 1
        part = f"{place - first + 1} of {last - first + 1}" if last > first else ""
        pieces.append(Piece(key, text[start:end], start, end, key in special, part))
    return Fall(
        version,
        type(tokenizer.model).__name__,
        tokenizer.get_vocab_size(),
        pieces,
        len(text.encode()),
        tokenizer.decode(encoded.ids, skip_special_tokens=False) == text,
    )


def symbols(version: ModelVersion, text: str) -> list[list[str]]:
    """The words that the version's tokenizer divides `text` into, each as the symbols that its merges start from.

    Raises:
        NotFound: the version has no tokenizer that is kept.
    """
    tokenizer = _loaded(digest(version))
    if tokenizer.normalizer is not None:
        text = tokenizer.normalizer.normalize_str(text)
    if tokenizer.pre_tokenizer is None:
        return [list(text)]
    return [list(word) for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def file_text(sha256: str) -> str:
    """The stored file of a tokenizer.

    Raises:
        NotFound: it is not kept.
    """
    kept = KeptTokenizer.objects.filter(sha256=sha256).first() if sha256 else None
    if kept is None:
        raise NotFound("This version has no tokenizer. Train or import a version with one.")
    return kept.text


@lru_cache(maxsize=8)
def _loaded(sha256: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(file_text(sha256))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def digest(version: ModelVersion) -> str:
    """SHA-256 of the version's tokenizer file; empty without one."""
    return str(version.manifest.get("files", {}).get(FILE, {}).get("sha256", ""))
