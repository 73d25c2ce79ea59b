"""Whether there is somebody to do the work; and the probes for machines."""

import functools
import os
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.views import ServiceView
from feedback.db.transient_faults import transient
from feedback.errors import NO_ROOM, DiskFull, NotFound
from feedback.selectors.platform import access, health

PROBE_BYTES = 256 * 1024  # more than a block, so that a nearly full disk is noticed
# Sorts 256 KiB within 64 KiB of memory, so that PostgreSQL writes a temporary file: neither a table nor the log grows.
SORT = "SELECT count(*) FROM (SELECT n, repeat(md5(n::text), 32) AS t FROM generate_series(1, 256) n ORDER BY t, n) s"


class WorkerSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    since = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="Time of its last heartbeat.")
    alive = serializers.BooleanField()
    busy = serializers.SerializerMethodField()

    def get_busy(self, worker: health.WorkerNow) -> bool:
        return worker.job is not None


class QueueSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    purpose = serializers.CharField()
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True, help_text="Since when the oldest queued job waits.")
    workers = WorkerSerializer(many=True)


@extend_schema_serializer(component_name="Health")
class HealthSerializer(serializers.Serializer[Any]):
    ok = serializers.BooleanField(help_text="Whether every queue has a living worker.")
    queues = QueueSerializer(many=True)


class Health(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="health_retrieve",
        summary="Queues and their workers",
        description="Read from what workers write themselves, so it holds while the broker is away.",
        responses=HealthSerializer,
    )
    def get(self, request: Request) -> Response:
        if not access.projects_for(self.viewer).exists():
            raise NotFound  # how the house is staffed is for those who work in it
        queues = health.queues()
        return Response(HealthSerializer({"ok": all(one.alive for one in queues), "queues": queues}).data)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """This process answers. Asks nothing of others, so that a slow database does not get it restarted."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """This process can serve: the database answers and has the tables that this code expects, and the disk takes what
    is written to it.

    The broker is not requested: what people say is taken in without it.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        waiting = migrations_waiting()
        let_the_database_write_a_little()
    except DatabaseError as error:
        if isinstance(transient(error), DiskFull):
            return JsonResponse({"status": "unready", "why": "The disk of the database is full."}, status=503)
        return JsonResponse({"status": "unready", "why": f"The database: {type(error).__name__}."}, status=503)
    if waiting:
        return JsonResponse({"status": "unready", "why": "Migrations wait to be applied."}, status=503)
    try:
        write_a_little()
    except OSError as error:
        why = "The disk is full." if error.errno in NO_ROOM else "The data folder cannot be written to."
        return JsonResponse({"status": "unready", "why": why}, status=503)
    return JsonResponse({"status": "ok"})


def write_a_little() -> None:
    """Write to the data folder, where SQLite and all files lie, as far as the disk itself.

    Raises:
        OSError: it is full, or read-only.
    """
    folder = Path(settings.DATA_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0" * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def let_the_database_write_a_little() -> None:
    """Let PostgreSQL write a temporary file to its own disk. SQLite lies in the data folder, which is tried itself.

    Raises:
        DatabaseError: the disk of the database is full, or it cannot be written to.
    """
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64kB'")
        cursor.execute(SORT)


def migrations_waiting() -> bool:
    try:
        return _checked()
    except _Waiting:
        return True


class _Waiting(Exception):
    """Raised instead of returned, so that only the good answer is remembered."""


@functools.cache
def _checked() -> bool:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _Waiting
    return False
