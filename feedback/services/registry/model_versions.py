"""The model registry: versions, decisions about them, and deployments."""

from collections.abc import Sequence
from operator import attrgetter, itemgetter

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from feedback.errors import Conflict, GateBlocks, Invalid, ModelNotPromotable, NothingToRollBackTo
from feedback.models import Deployment, Evaluation, ModelVersion, Person, Project, TrainingRun
from feedback.rules.evaluation.preconditions import Finding
from feedback.rules.json_types import JsonObject
from feedback.selectors.evaluation import gate
from feedback.services.evaluation import contest_endings
from feedback.services.platform import events

State = ModelVersion.State
LONGEST_REASON = 500  # characters


def register(
    *,
    run: TrainingRun,
    kind: str,
    path: str,
    manifest: JsonObject,
    manifest_sha256: str,
    metrics: JsonObject,
) -> ModelVersion:
    """Register a run's model as a candidate. Safe to repeat.

    The first policy of a project serves at once, unless its own training says that it must not: there is nothing yet
    that it could make worse. One with faults is rejected from the beginning: it is kept to be looked at, and nothing
    serves or starts from it.
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
            state=State.REJECTED if manifest.get("faults") else State.CANDIDATE,
        )
        events.record("model.registered", version, actor=run.job.requested_by, run=run.public_id)
        if version.faults:
            events.record("model.rejected", version, actor=None, faults=version.faults)
        elif kind == ModelVersion.Kind.POLICY and serving(project) is None and not gate.of(version).final:
            _deploy(project, version, by=run.job.requested_by, note="The project's first policy.")
    return version


def serving(project: Project) -> ModelVersion | None:
    """The version that writes the project's responses now."""
    return gate.serving(project)


def check_policy(version: ModelVersion) -> None:
    """
    Raises:
        Invalid: it is not a policy; only policies serve.
    """
    if version.kind != ModelVersion.Kind.POLICY:
        raise Invalid(f"Only policies can serve; {version} is a {version.kind} model.")


def promote(*, by: Person | None, model_version: ModelVersion, note: str = "", override_reason: str = "") -> Deployment:
    """Serve this version from now on. Promoting the serving version changes nothing.

    Args:
        override_reason: why it should serve although findings block it; kept with what it overrode. The first policy
            of a project needs none. Without a blocking finding it is not kept: there is nothing that it overrides.

    Raises:
        Invalid: only policies serve.
        ModelNotPromotable: rejected, revoked, trained on rows that were erased since, or spoilt in training; `findings`
            names what no reason overrides.
        GateBlocks: findings speak against it, which `findings` names, and no reason is given.
    """
    check_policy(model_version)
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=model_version.project_id)
        version = ModelVersion.objects.select_related("run__reward_model").get(pk=model_version.pk)
        found = gate.of(version)
        if found.final:
            raise ModelNotPromotable(found.final[0].sentence, findings=_told(found.final))
        current = Deployment.objects.filter(project=project, until=None).first()
        if current is not None and current.model_version_id == version.pk:
            return current
        reason = override_reason.strip()
        if len(reason) > LONGEST_REASON:
            raise Invalid(f"Use at most {LONGEST_REASON} characters.", field="override_reason")
        if found.blocking and not reason:
            sentences = " ".join(map(attrgetter("sentence"), found.blocking))
            raise GateBlocks(
                f"{str(version).capitalize()} cannot replace {found.serving} without a reason: {sentences} "
                "Give an override_reason to promote it anyway; the reason is stored and shown while it serves.",
                findings=_told(found.blocking),
            )
        deployment = _deploy(
            project,
            version,
            by=by,
            note=note,
            override_reason=reason if found.blocking else "",
            findings=_told(found.blocking),
        )
        Evaluation.objects.filter(candidate=version, decision="").update(
            decision="promoted_with_a_reason" if found.blocking else "promoted"
        )
        return deployment


def roll_back(*, by: Person | None, project: Project, expected: ModelVersion | None = None) -> Deployment:
    """Serve the version that served before the current one. Rolling back again goes further back.

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
            raise Conflict(f"{expected} does not serve the project, so it cannot be rolled back.")
        spent = {deployment.model_version_id for deployment in history if deployment.rolled_back}
        for deployment in history:
            version = deployment.model_version
            if version.pk != present and version.pk not in spent and _may_serve(version):
                Deployment.objects.filter(project=project, until=None).update(rolled_back=True)
                events.record("model.rolled_back", version, actor=by)
                return _deploy(
                    project,
                    version,
                    by=by,
                    note="Rolled back.",
                    override_reason=deployment.override_reason,
                    findings=deployment.findings,
                )
        raise NothingToRollBackTo


def decide(*, by: Person | None, model_version: ModelVersion, state: str) -> ModelVersion:
    """Approve, reject or revoke. The serving version cannot be rejected or revoked: roll back first.

    Raises:
        ModelNotPromotable: approved, though the trainer found a fault in it.
    """
    if state not in (State.APPROVED, State.REJECTED, State.REVOKED):
        raise Invalid("The state must be approved, rejected or revoked.", field="state")
    with transaction.atomic():
        # The lock that promotion takes, too: what is being refused must not begin to serve meanwhile.
        project = Project.objects.select_for_update(no_key=True).get(pk=model_version.project_id)
        if state != State.APPROVED and serving(project) == model_version:
            raise Conflict(f"{model_version} serves the project. Roll back or promote another version first.")
        if state == State.APPROVED:
            _refuse_faults(model_version)
        ModelVersion.objects.filter(pk=model_version.pk).update(state=state)
        if state != State.APPROVED:
            Evaluation.objects.filter(candidate=model_version, decision="").update(decision=state)
            contest_endings.end_without_candidates(model_version, by=by)
        events.record(f"model.{state}", model_version, actor=by)
    model_version.refresh_from_db()
    return model_version


def _refuse_faults(version: ModelVersion) -> None:
    """Refuse a model whose manifest lists faults: the trainer found that it is not the model that was chosen.

    Raises:
        ModelNotPromotable: with the fault.
    """
    if version.faults:
        raise ModelNotPromotable(f"{str(version).capitalize()} has a fault: {version.faults[0]} Train it again.")


def _may_serve(version: ModelVersion) -> bool:
    return version.tainted_at is None and version.state not in (State.REJECTED, State.REVOKED)


def _told(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [{"name": one.name, "sentence": one.sentence} for one in findings]


def _deploy(
    project: Project,
    version: ModelVersion,
    *,
    by: Person | None,
    note: str,
    override_reason: str = "",
    findings: Sequence[dict[str, str]] = (),
) -> Deployment:
    """Call while holding the project's row lock."""
    now = timezone.now()
    Deployment.objects.filter(project=project, until=None).update(until=now)
    try:
        deployment = Deployment.objects.create(
            project=project,
            model_version=version,
            since=now,
            deployed_by=by,
            note=note,
            override_reason=override_reason,
            findings=list(findings),
        )
    except IntegrityError:
        raise Conflict from None
    ModelVersion.objects.filter(pk=version.pk, state=State.CANDIDATE).update(state=State.APPROVED)
    contest_endings.end_since_another_serves(project, by=by)
    overridden = ", ".join(map(itemgetter("name"), findings)) or None
    events.record("model.promoted", version, actor=by, deployment=deployment.public_id, overridden=overridden)
    return deployment
