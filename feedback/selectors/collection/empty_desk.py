"""Why a desk is empty: what creates the next task, and whether a job works on it."""

from dataclasses import dataclass

from feedback import celery_app
from feedback.models import Deployment, Project, Response
from feedback.models.prompts import TO_COME
from feedback.selectors.platform.home import workers


@dataclass(frozen=True)
class Waiting:
    """What a desk without tasks waits for. `sentence` says it to people.

    It has no number of responses: it rises with each task of a contest that is handed out, and tells which ones are.
    """

    responses: bool
    worker_there: bool
    model_serves: bool

    @property
    def sentence(self) -> str:
        if self.responses:
            if self.worker_there:
                return "Responses are being generated; each pair becomes a task."
            return "Responses are waiting, but no worker is running to generate them. Contact an admin."
        if not self.model_serves:
            return "No model serves this project yet, so no new responses are being generated."
        return "No responses are being generated; they follow new prompts."


def for_tasks(project: Project) -> Waiting:
    return Waiting(
        responses=Response.objects.filter(TO_COME, project=project).order_by().exists(),
        worker_there=workers().filter(queue=celery_app.GENERATE).exists(),
        model_serves=Deployment.objects.filter(project=project, until=None).exists(),
    )
