"""Preflight: look at a chain before it trains, and start what was looked at."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.platform.jobs import JobSerializer
from feedback.api.training.pipelines import ChainSerializer, NewChainSerializer
from feedback.api.training.plans import pipeline_request
from feedback.api.views import ServiceView, StatusAndBody
from feedback.selectors.platform import access
from feedback.selectors.training.plans import plan_pipeline
from feedback.services.training import preflight


class Preflights(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Run a preflight check",
        description="The body is that of `POST chains/`. The snapshot is frozen, and a worker looks at every stage; the"
        " job's `result` then has `ok` and, by stage, `findings` (severity block or warn, sentence, remedy, lines), the"
        " first rows token by token with whether each is learned, memory and time. Start it with"
        " `training-runs/preflight/{id}/start/`.",
        request=NewChainSerializer,
        responses={201: JobSerializer},
    )
    def post(self, request: Request) -> Response:
        pipeline = pipeline_request(self, self.validated(NewChainSerializer))

        def act() -> StatusAndBody:
            job = preflight.request_preflight(plan_pipeline(pipeline), by=self.person)
            return 201, JobSerializer(job).data

        return self.once(act)


class StartPreflight(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Start a checked pipeline run",
        description="On the checked snapshot. 409 `preflight_blocks` lists the blocking findings.",
        request=None,
        responses={201: ChainSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        job = access.get_job(self.viewer, id)

        def act() -> StatusAndBody:
            return 201, ChainSerializer(preflight.start(by=self.person, job=job)).data

        return self.once(act)
