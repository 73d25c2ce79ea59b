"""The OpenAPI document, computed once per release and then served from memory.

It takes seconds to compute, in which a process answers little else. So another process does that (`manage.py
write_schema`) when it is first requested, and it is kept in DATA_DIR under the release's own hash.
"""

import gzip
import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from django.views.decorators.http import require_safe

from feedback.errors import Busy

JSON, YAML = "json", "yaml"
TYPES = {JSON: "application/vnd.oai.openapi+json", YAML: "application/vnd.oai.openapi"}
ROOMS = ("api", "models", "rules", "formats", "errors.py", "settings.py")  # what the document is made from
WAIT_SECONDS = 60.0
making = threading.Lock()
waiting = threading.BoundedSemaphore(2)  # of the threads of a process; the others are needed for work


@dataclass(frozen=True)
class Document:
    plain: bytes
    packed: bytes
    tag: str


@cache
def release() -> str:
    """A hash of everything that the document is made from."""
    digest = hashlib.sha256(metadata.version("drf-spectacular").encode())
    here = Path(settings.BASE_DIR) / "feedback"
    for room in ROOMS:
        place = here / room
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def place(kind: str) -> Path:
    return settings.DATA_DIR / "run" / f"schema-{release()}.{kind}"


def write() -> None:
    """Compute the document and keep it in both notations, unless that was done."""
    if all(place(kind).exists() for kind in TYPES):
        return
    folder = place(JSON).parent
    folder.mkdir(parents=True, exist_ok=True)
    for kind, text in _computed().items():
        part = place(kind).with_suffix(".part")
        part.write_bytes(text)
        part.replace(place(kind))
    for old in folder.glob("schema-*"):
        if release() not in old.name:
            old.unlink(missing_ok=True)


def _computed() -> dict[str, bytes]:
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

    found = SchemaGenerator().get_schema(request=None, public=True)
    renderers = {JSON: OpenApiJsonRenderer(), YAML: OpenApiYamlRenderer()}
    texts = {kind: renderer.render(found, renderer_context={}) for kind, renderer in renderers.items()}
    return {kind: text.encode() if isinstance(text, str) else text for kind, text in texts.items()}


_documents: dict[str, Document] = {}
_maker: "subprocess.Popen[bytes] | None" = None


def document(kind: str, *, in_background: bool) -> Document:
    """From memory, else from its file, else computed.

    Args:
        in_background: others wait for this process, so another one computes.

    Raises:
        Busy: it is being computed.
    """
    if kind in _documents:
        return _documents[kind]
    if in_background and not place(kind).exists():
        _wait_for_maker()
    with making:
        if not place(kind).exists():
            write()
        text = place(kind).read_bytes()
        _documents[kind] = Document(text, gzip.compress(text, mtime=0), hashlib.sha256(text).hexdigest()[:32])
    return _documents[kind]


def _wait_for_maker() -> None:
    """Have a process compute it, started once, and wait for its end in a few threads: the page of the API asks once.

    Raises:
        Busy: enough threads wait, or it takes long. Where it failed there is nothing for it but to compute it here.
    """
    global _maker
    with making:
        if _maker is None:
            command = [sys.executable, "-m", "django", "write_schema", "--settings", "feedback.settings"]
            environment = {**os.environ, "DATA_DIR": str(settings.DATA_DIR)}
            _maker = subprocess.Popen(command, cwd=settings.BASE_DIR, stdin=subprocess.DEVNULL, env=environment)
        maker = _maker
    if maker.poll() is not None:
        return
    if not waiting.acquire(blocking=False):
        raise Busy("The API schema is being generated.", retry_after=5)
    try:
        maker.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Busy("The API schema is being generated.", retry_after=5) from None
    finally:
        waiting.release()


@require_safe
def schema(request: HttpRequest) -> HttpResponse:
    """JSON for whoever accepts it or asks for it by `?format=json`, else YAML."""
    format_wanted = request.GET.get("format", "")
    kind = (
        JSON if format_wanted == JSON or (not format_wanted and "json" in request.headers.get("Accept", "")) else YAML
    )
    found = document(kind, in_background=bool(request.META.get("wsgi.multithread")))
    packed = "gzip" in request.headers.get("Accept-Encoding", "")
    tag = f'"{found.tag}-{kind}{"-gz" if packed else ""}"'
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if tag in known or "*" in known:
        reply: HttpResponse = HttpResponseNotModified()
    else:
        reply = HttpResponse(found.packed if packed else found.plain, content_type=f"{TYPES[kind]}; charset=utf-8")
        reply["Content-Disposition"] = f'inline; filename="touchstone.{kind}"'
        if packed:
            reply["Content-Encoding"] = "gzip"
    reply["ETag"] = tag
    reply["Cache-Control"] = "public, no-cache"  # it may be kept, and is requested after
    patch_vary_headers(reply, ["Accept", "Accept-Encoding"])
    return reply
