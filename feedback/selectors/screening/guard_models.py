"""Which guard model and tagger screen a project, and what its setting is."""

from feedback.models import ModelVersion, Project
from feedback.rules.screening import screening
from feedback.rules.screening.screening import NEWEST, Screening


def of(project: Project) -> Screening:
    return screening.read(project.screening)


def model_of(project: Project, kind: str, wanted: str) -> ModelVersion | None:
    """The version that a setting names, None when it is gone or unfit; `newest` is the newest approved one."""
    rows = ModelVersion.objects.filter(project=project, kind=kind)
    if wanted == NEWEST:
        return rows.filter(state=ModelVersion.State.APPROVED, tainted_at=None).order_by("-id").first()
    unfit = (ModelVersion.State.REVOKED, ModelVersion.State.REJECTED)
    return rows.filter(public_id=wanted).exclude(state__in=unfit).first()


def missing(project: Project) -> str:
    """A sentence on the guard or marker that is named and gone; empty when those that are named are there."""
    setting = of(project)
    named = (("classifier", setting.guard), ("tagger", setting.marker))
    for kind, part in named:
        if part is not None and model_of(project, kind, part.model) is None:
            return f"The selected {kind} was deleted or rejected. Approve or select another, or remove the setting."
    return ""


def term_model(project: Project) -> ModelVersion | None:
    """The classifier that is a term of the reward: the project's guard, else the newest that was approved."""
    guard = of(project).guard
    return model_of(project, ModelVersion.Kind.CLASSIFIER, guard.model if guard else NEWEST)


def classes_of(version: ModelVersion) -> list[str]:
    """Names of what a classifier tells apart, as its run counted them."""
    return list(version.metrics.get("class_balance", {}))
