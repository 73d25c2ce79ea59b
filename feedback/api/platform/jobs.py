"""Jobs of the workers: their state, progress and result. The database row is the job."""

from typing import cast
from uuid import UUID

import django_filters
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Job
from feedback.selectors.platform import access, health
from feedback.services.platform import jobs
from feedback.services.training import pipelines


@extend_schema_serializer(component_name="Job")
class JobSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    kind = serializers.ChoiceField(choices=Job.Kind.choices)
    queue = serializers.CharField()
    status = serializers.ChoiceField(choices=Job.Status.choices)
    says = serializers.SerializerMethodField(
        help_text="Status sentence, including whether a worker is running and alive."
    )
    attempt = serializers.IntegerField(help_text="Number of attempts.")
    step = serializers.IntegerField()
    steps = serializers.IntegerField(help_text="0 while unknown.")
    progress_text = serializers.CharField(allow_blank=True)
    error_kind = serializers.CharField(allow_blank=True)
    error = serializers.CharField(allow_blank=True)
    remedy = serializers.CharField(allow_blank=True, help_text="How to resolve the error.")
    result = serializers.DictField()
    run = serializers.UUIDField(source="run.public_id", default=None, allow_null=True, help_text="Its training run.")
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    heartbeat_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_says(self, job: Job) -> str:
        return health.life(job, there=self._queue_of(job)).sentence

    def _queue_of(self, job: Job) -> health.QueueNow | None:
        """The queue of a waiting job, read once per reply. None for other jobs, whose sentence does not need it."""
        if job.status != Job.Status.QUEUED:
            return None
        queues = cast(dict[str, dict[str, health.QueueNow]], self.context).setdefault("queues", {})
        if job.queue not in queues:
            queues[job.queue] = health.queue_now(job.queue)
        return queues[job.queue]


class JobFilter(django_filters.FilterSet):
    status = django_filters.ChoiceFilter(choices=Job.Status.choices)
    kind = django_filters.ChoiceFilter(choices=Job.Kind.choices)

    class Meta:
        model = Job
        fields = ["status", "kind"]


class Jobs(ServiceView):
    scopes = {"GET": "read"}
    queryset = Job.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = JobFilter

    @extend_schema(summary="Jobs of a project", parameters=[IN_PROJECT], responses=JobSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.ADMIN)
        rows = Job.objects.filter(project=project).exclude(kind=Job.Kind.PROBE)
        return self.page(rows.select_related("run"), JobSerializer)


class OneJob(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="A job", responses=JobSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(JobSerializer(access.get_job(self.viewer, id)).data)


class CancelJob(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Cancel a job",
        description="A queued job at once; a running job at its next heartbeat, within seconds.",
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        job = access.get_job(self.viewer, id)

        def act() -> StatusAndBody:
            if hasattr(job, "run"):  # cancels the pipeline run as well
                pipelines.cancel_run(by=self.person, run=job.run)
            else:
                jobs.request_cancel(by=self.person, job=job)
            return 202, JobSerializer(access.get_job(self.viewer, id)).data

        return self.once(act)


class RetryJob(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Retry a failed or canceled job",
        description="Training resumes from its last checkpoint.",
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        job = access.get_job(self.viewer, id)

        def act() -> StatusAndBody:
            if hasattr(job, "run"):
                pipelines.retry_run(by=self.person, run=job.run)
            else:
                jobs.retry(by=self.person, job=job)
            return 202, JobSerializer(access.get_job(self.viewer, id)).data

        return self.once(act)
