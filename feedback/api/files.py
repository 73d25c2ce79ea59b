"""Files over HTTP: uploads in chunks, downloads, and the digest of either."""

import hashlib
import re
from collections.abc import Iterable, Iterator

from django.core.files.uploadedfile import UploadedFile
from django.http import StreamingHttpResponse

UNSAFE_IN_HEADER = re.compile(r"[^A-Za-z0-9._-]")


def download(chunks: Iterable[bytes], name: str, size: int, kind: str) -> StreamingHttpResponse:
    """A file in chunks. Browsers save it under `name`, in which unsafe characters of a header become "_"."""
    plain = UNSAFE_IN_HEADER.sub("_", name)
    response = StreamingHttpResponse(chunks, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{plain}"'
    response["Content-Length"] = str(size)
    return response


def chunks_of_upload(file: UploadedFile) -> Iterator[bytes]:
    """The upload from its start, each time that it is read."""
    file.seek(0)
    yield from file.chunks()


def digest(chunks: Iterable[bytes]) -> str:
    """The SHA-256 of a file in chunks."""
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()
