"""Why a desk is empty: what creates the next task, and whether a job works on it."""

from dataclasses import dataclass

from feedback import celery_app
from feedback.models import Deployment, Project, Response
from feedback.models.prompts import TO_COME
from feedback.selectors.platform.home import workers

COUNTED = 1000


@dataclass(frozen=True)
class Waiting:
    """What a desk without tasks waits for. `sentence` says it to people."""

    responses: int
    worker_there: bool
    model_serves: bool

    @property
    def sentence(self) -> str:
        if self.responses:
            many = f"{COUNTED}+" if self.responses >= COUNTED else str(self.responses)
            noun = "response is" if self.responses == 1 else "responses are"
            if self.worker_there:
                return f"{many} {noun} being generated; each pair becomes a task."
            return f"{many} {noun} waiting, but no worker is running to generate them. Contact an admin."
        if not self.model_serves:
            return "No model serves this project yet, so no new responses are being generated."
        return "No responses are being generated; they follow new prompts."


def for_tasks(project: Project) -> Waiting:
    return Waiting(
        responses=Response.objects.filter(TO_COME, project=project).order_by()[:COUNTED].count(),
        worker_there=workers().filter(queue=celery_app.GENERATE).exists(),
        model_serves=Deployment.objects.filter(project=project, until=None).exists(),
    )
