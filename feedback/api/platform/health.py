"""The state of queues and workers, and the probes for orchestrators."""

import functools
import os
import tempfile
from operator import attrgetter
from pathlib import Path

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

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.db.transient_faults import transient
from feedback.errors import NO_ROOM, DiskFull, NotFound
from feedback.selectors.platform import access, health

PROBE_BYTES = 256 * 1024  # more than a block, so that a nearly full disk is detected
# Sorts 256 KiB within 64 KiB of memory, so that PostgreSQL writes a temporary file: neither a table nor the log grows.
SORT = "SELECT count(*) FROM (SELECT n, repeat(md5(n::text), 32) AS t FROM generate_series(1, 256) n ORDER BY t, n) s"


class WorkerSerializer(Serializer):
    name = serializers.CharField()
    since = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="Time of its last heartbeat.")
    alive = serializers.BooleanField()
    busy = serializers.SerializerMethodField()

    def get_busy(self, worker: health.WorkerNow) -> bool:
        return worker.job is not None


class QueueSerializer(Serializer):
    name = serializers.CharField()
    purpose = serializers.CharField()
    queued = serializers.IntegerField()
    running = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True, help_text="When the oldest queued job was queued.")
    workers = WorkerSerializer(many=True)


@extend_schema_serializer(component_name="Health")
class HealthSerializer(Serializer):
    ok = serializers.BooleanField(help_text="Whether every queue has a live worker.")
    queues = QueueSerializer(many=True)


class Health(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="health_retrieve",
        summary="Queues and their workers",
        description="Read from the database, where workers write their heartbeats, so it works while the broker"
        " is down.",
        responses=HealthSerializer,
    )
    def get(self, request: Request) -> Response:
        if not access.projects_for(self.viewer).exists():
            raise NotFound  # only members of a project may see the workers
        queues = health.queues()
        ok = all(map(attrgetter("alive"), queues))
        return Response(HealthSerializer({"ok": ok, "queues": queues}).data)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Liveness probe: this process answers. It uses no database, so that a slow one does not restart the process."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Readiness probe: the database answers, its migrations are applied, and the disks can be written to.

    The broker is not probed, because annotations are accepted without it.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        pending = migrations_pending()
        probe_database_disk()
    except DatabaseError as error:
        if isinstance(transient(error), DiskFull):
            return JsonResponse({"status": "unready", "why": "The disk of the database is full."}, status=503)
        return JsonResponse({"status": "unready", "why": f"The database: {type(error).__name__}."}, status=503)
    if pending:
        return JsonResponse({"status": "unready", "why": "Migrations wait to be applied."}, status=503)
    try:
        probe_data_folder()
    except OSError as error:
        why = "The disk is full." if error.errno in NO_ROOM else "The data folder cannot be written to."
        return JsonResponse({"status": "unready", "why": why}, status=503)
    return JsonResponse({"status": "ok"})


def probe_data_folder() -> None:
    """Write to the data folder, where SQLite and all files are, and flush to the disk.

    Raises:
        OSError: the disk is full or read-only.
    """
    folder = Path(settings.DATA_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0" * PROBE_BYTES)
        file.flush()
        os.fsync(file.fileno())


def probe_database_disk() -> None:
    """Let PostgreSQL write a temporary file to its own disk. SQLite is in the data folder, which has its own probe.

    Raises:
        DatabaseError: the disk of the database is full or cannot be written to.
    """
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL work_mem = '64kB'")
        cursor.execute(SORT)


def migrations_pending() -> bool:
    try:
        _all_applied()
        return False
    except _Pending:
        return True


class _Pending(Exception):
    """There are migrations to apply. An exception, because `functools.cache` must not keep that result."""


@functools.cache
def _all_applied() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise _Pending
