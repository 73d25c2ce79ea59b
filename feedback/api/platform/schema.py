"""The OpenAPI document, computed once per release and then served from memory.

Computing it takes seconds, in which a process answers few other requests. So another process computes it (`manage.py
write_schema`) at the first request, and keeps it in DATA_DIR under the hash of the release.
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
SOURCES = ("api", "models", "rules", "formats", "errors.py", "settings.py")  # what the document depends on
WAIT_SECONDS = 60.0
making = threading.Lock()
waiting = threading.BoundedSemaphore(2)  # threads of a process that may wait; the others serve requests


@dataclass(frozen=True)
class Document:
    plain: bytes
    packed: bytes
    tag: str


@cache
def release() -> str:
    """A hash of everything that the document depends on."""
    digest = hashlib.sha256(metadata.version("drf-spectacular").encode())
    package = Path(settings.BASE_DIR) / "feedback"
    for source in SOURCES:
        path = package / source
        modules = [path]
        if path.is_dir():
            modules = sorted(path.rglob("*.py"))
        for module in modules:
            digest.update(module.read_bytes())
    return digest.hexdigest()[:20]


def path_of(kind: str) -> Path:
    return settings.DATA_DIR / "run" / f"schema-{release()}.{kind}"


def write() -> None:
    """Compute the document and keep it as JSON and YAML, unless that was done."""
    if all(path_of(kind).exists() for kind in TYPES):
        return
    folder = path_of(JSON).parent
    folder.mkdir(parents=True, exist_ok=True)
    for kind, text in _computed().items():
        part = path_of(kind).with_suffix(".part")
        part.write_bytes(text)
        part.replace(path_of(kind))
    for old in folder.glob("schema-*"):
        if release() not in old.name:
            old.unlink(missing_ok=True)


def _computed() -> dict[str, bytes]:
    from drf_spectacular.generators import SchemaGenerator
    from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

    found = SchemaGenerator().get_schema(request=None, public=True)
    renderers = {JSON: OpenApiJsonRenderer(), YAML: OpenApiYamlRenderer()}
    documents: dict[str, bytes] = {}
    for kind, renderer in renderers.items():
        text = renderer.render(found, renderer_context={})
        if isinstance(text, str):
            text = text.encode()
        documents[kind] = text
    return documents


_documents: dict[str, Document] = {}
_maker: "subprocess.Popen[bytes] | None" = None


def document(kind: str, *, in_background: bool) -> Document:
    """The document: from memory, else from its file, else computed.

    Args:
        in_background: compute it in another process, because this one serves other requests.

    Raises:
        Busy: it is being computed.
    """
    if kind in _documents:
        return _documents[kind]
    if in_background and not path_of(kind).exists():
        _wait_for_maker()
    with making:
        if not path_of(kind).exists():
            write()
        text = path_of(kind).read_bytes()
        _documents[kind] = Document(text, gzip.compress(text, mtime=0), hashlib.sha256(text).hexdigest()[:32])
    return _documents[kind]


def _wait_for_maker() -> None:
    """Start a process that computes the document, once, and wait for its end. If it fails, the caller computes it.

    Raises:
        Busy: as many threads wait as may, or the process takes too long.
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
    """The document as JSON if the client accepts it or sends `?format=json`, else as YAML."""
    kind = request.GET.get("format", "")
    if not kind and "json" in request.headers.get("Accept", ""):
        kind = JSON
    if kind != JSON:
        kind = YAML
    found = document(kind, in_background=bool(request.META.get("wsgi.multithread")))
    packed = "gzip" in request.headers.get("Accept-Encoding", "")
    body, tag = found.plain, f'"{found.tag}-{kind}"'
    if packed:
        body, tag = found.packed, f'"{found.tag}-{kind}-gz"'
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if tag in known or "*" in known:
        reply: HttpResponse = HttpResponseNotModified()
    else:
        reply = HttpResponse(body, content_type=f"{TYPES[kind]}; charset=utf-8")
        reply["Content-Disposition"] = f'inline; filename="touchstone.{kind}"'
        if packed:
            reply["Content-Encoding"] = "gzip"
    reply["ETag"] = tag
    reply["Cache-Control"] = "public, no-cache"  # a cache may keep it, and must revalidate it
    patch_vary_headers(reply, ["Accept", "Accept-Encoding"])
    return reply
