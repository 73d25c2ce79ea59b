"""What imports and exports share: both are jobs, shown with the state of the job."""

from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.errors import NotFound
from feedback.formats.catalog import FORMATS
from feedback.models import Job
from feedback.selectors.platform import access, health

FORMAT_NAMES = list(FORMATS)


class TransferSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    format = serializers.CharField(source="payload.format")
    status = serializers.ChoiceField(choices=Job.Status.choices)
    says = serializers.SerializerMethodField(help_text="Status sentence, including whether a worker is running.")
    progress_text = serializers.CharField(allow_blank=True)
    step = serializers.IntegerField(help_text="Of an import: kilobytes read.")
    steps = serializers.IntegerField(help_text="Of an import: kilobytes in all. 0 while unknown.")
    error = serializers.CharField(allow_blank=True)
    remedy = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)

    def get_says(self, job: Job) -> str:
        return health.life(job).sentence


class Transfers(ServiceView):
    """What imports and exports share: a list of the jobs of one kind, and one job of that kind."""

    scopes = {"GET": "data", "POST": "data"}
    queryset = Job.objects.none()
    kind: str

    def rows(self) -> QuerySet[Job]:
        project = self.requested_project(access.ADMIN)
        return Job.objects.filter(project=project, kind=self.kind).select_related("project")

    def job(self, id: UUID) -> Job:
        job = access.get_job(self.viewer, id)
        if job.kind != self.kind:
            raise NotFound
        return job
