"""The registry of model versions, and what serves."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from feedback.errors import Conflict, Invalid, ModelNotPromotable, NothingToRollBackTo
from feedback.models import Deployment, ModelVersion, Person, Project, TrainingRun
from feedback.services import events

State = ModelVersion.State


def register(
    *,
    run: TrainingRun,
    kind: str,
    path: str,
    manifest: dict[str, Any],
    manifest_sha256: str,
    metrics: dict[str, Any],
) -> ModelVersion:
    """A run's model as a candidate. A second delivery finds it there.

    The first policy of a project serves at once: there is nothing yet that it could make worse.
    """
    before = ModelVersion.objects.filter(run=run).first()
    if before is not None:
        return before
    parent = run.base_model if kind != ModelVersion.Kind.TOKENIZER else None
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=run.project_id)
        numbers = ModelVersion.objects.filter(project=project, kind=kind)
        version = ModelVersion.objects.create(
            project=project,
            kind=kind,
            number=(numbers.aggregate(top=Max("number"))["top"] or 0) + 1,
            stage=run.stage,
            path=path,
            manifest=manifest,
            manifest_sha256=manifest_sha256,
            metrics=metrics,
            parent=parent,
            run=run,
        )
        events.record("model.registered", version, actor=run.job.requested_by, run=run.public_id)
        if kind == ModelVersion.Kind.POLICY and serving(project) is None:
            _deploy(project, version, by=run.job.requested_by, note="The project's first policy.")
    return version


def serving(project: Project) -> ModelVersion | None:
    """The version that writes the project's responses now."""
    deployment = (
        Deployment.objects.filter(project=project, until=None).select_related("model_version").order_by("-id").first()
    )
    return deployment.model_version if deployment else None


def promote(*, by: Person | None, model_version: ModelVersion, note: str = "") -> Deployment:
    """Serve this version from now on. Promoting what serves already changes nothing.

    Raises:
        Invalid: only policies serve.
        ModelNotPromotable: rejected, revoked, or trained on rows that were erased since.
    """
    if model_version.kind != ModelVersion.Kind.POLICY:
        raise Invalid(f"Only policies serve; {model_version} is a {model_version.kind} model.")
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=model_version.project_id)
        version = ModelVersion.objects.get(pk=model_version.pk)
        if version.tainted_at is not None:
            raise ModelNotPromotable(
                f"{version} was trained on rows that were erased since. Train it again without them."
            )
        if version.state in (State.REJECTED, State.REVOKED):
            raise ModelNotPromotable(f"{version} is {version.state}. Train another, or promote another version.")
        current = Deployment.objects.filter(project=project, until=None).first()
        if current is not None and current.model_version_id == version.pk:
            return current
        return _deploy(project, version, by=by, note=note)


def roll_back(*, by: Person | None, project: Project, expected: ModelVersion | None = None) -> Deployment:
    """Serve the version that served before the present one. Rolling back again goes further back.

    Args:
        expected: what the caller saw serving; two people who press at once must not go back twice.

    Raises:
        Conflict: another version than `expected` serves by now.
        NothingToRollBackTo: no earlier version served, or all that did are no longer fit to serve.
    """
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        history = list(Deployment.objects.filter(project=project).select_related("model_version").order_by("-id"))
        present = history[0].model_version_id if history else None
        if expected is not None and present != expected.pk:
            raise Conflict(f"{expected} does not serve the project, so there is nothing of it to take back.")
        spent = {deployment.model_version_id for deployment in history if deployment.rolled_back}
        for deployment in history:
            version = deployment.model_version
            if version.pk != present and version.pk not in spent and _may_serve(version):
                Deployment.objects.filter(project=project, until=None).update(rolled_back=True)
                events.record("model.rolled_back", version, actor=by)
                return _deploy(project, version, by=by, note="Rolled back.")
        raise NothingToRollBackTo


def decide(*, by: Person | None, model_version: ModelVersion, state: str) -> ModelVersion:
    """Approve, reject or revoke. What serves cannot be rejected or revoked: roll back first."""
    if state not in (State.APPROVED, State.REJECTED, State.REVOKED):
        raise Invalid("A version is approved, rejected or revoked.", field="state")
    with transaction.atomic():
        # The lock that promotion takes, too: what is being refused must not begin to serve meanwhile.
        project = Project.objects.select_for_update(no_key=True).get(pk=model_version.project_id)
        if state != State.APPROVED and serving(project) == model_version:
            raise Conflict(f"{model_version} serves the project. Roll back or promote another version first.")
        ModelVersion.objects.filter(pk=model_version.pk).update(state=state)
        events.record(f"model.{state}", model_version, actor=by)
    model_version.refresh_from_db()
    return model_version


def _may_serve(version: ModelVersion) -> bool:
    return version.tainted_at is None and version.state not in (State.REJECTED, State.REVOKED)


def _deploy(project: Project, version: ModelVersion, *, by: Person | None, note: str) -> Deployment:
    """Call while holding the project's row lock."""
    now = timezone.now()
    Deployment.objects.filter(project=project, until=None).update(until=now)
    try:
        deployment = Deployment.objects.create(
            project=project, model_version=version, since=now, deployed_by=by, note=note
        )
    except IntegrityError:
        raise Conflict from None
    ModelVersion.objects.filter(pk=version.pk, state=State.CANDIDATE).update(state=State.APPROVED)
    events.record("model.promoted", version, actor=by, deployment=deployment.public_id)
    return deployment
