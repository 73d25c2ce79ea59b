"""External models: a folder on the server or a Hub id, which a worker copies and checks."""

import re

from django.db import transaction
from django.db.models import Max

from feedback import celery_app
from feedback.errors import Invalid
from feedback.models import Job, ModelVersion, Person, Project
from feedback.rules.json_types import JsonObject
from feedback.rules.training.stages import GIVEN
from feedback.services.platform import events, jobs

HUB_NAME = r"(?![.-])(?![^/]*(?:--|\.\.))[\w.-]{1,96}(?<![.-])"  # as huggingface.co itself takes them
HUB_ID = re.compile(f"{HUB_NAME}/{HUB_NAME}", re.ASCII)
REVISION = re.compile(r"(?![./-])(?!.*(?:\.\.|//))[\w./-]{0,200}", re.ASCII)
LONGEST = 500


def request_model(
    *, by: Person, project: Project, kind: str, folder: str = "", hub: str = "", revision: str = ""
) -> Job:
    """Request a job that copies, verifies and registers a model, to start training from.

    Args:
        kind: what it is; the worker checks that.
        folder: on the server, relative to DATA_DIR/models or inside one of MODEL_FOLDERS.
        hub: an id such as owner/name; revision: a branch, tag or commit of it, the main branch by default.

    Raises:
        Invalid: not exactly one of folder and hub, or an impossible one.
    """
    folder, hub = folder.strip(), hub.strip()
    if bool(folder) == bool(hub):
        raise Invalid("Name either a folder on the server or a hub id.", field="folder")
    if kind not in ModelVersion.Kind.values:
        raise Invalid(f"The kind must be one of {', '.join(ModelVersion.Kind.values)}.", field="kind")
    if len(folder) > LONGEST or "\x00" in folder:
        raise Invalid(f"A folder's path has at most {LONGEST} characters.", field="folder")
    if hub and not HUB_ID.fullmatch(hub):
        raise Invalid("A hub id has the form owner/name.", field="hub")
    if not REVISION.fullmatch(revision.strip()):
        raise Invalid("A revision is a branch, a tag or a commit.", field="revision")
    payload = {"kind": kind, "folder": folder, "hub": hub, "revision": revision.strip()}
    with transaction.atomic():
        job = jobs.create(kind=Job.Kind.ADOPT, queue_name=celery_app.DEFAULT, project=project, by=by, payload=payload)
        events.record("model.requested", job, actor=by, project=project, kind=kind)
    return job


def adopt(
    *,
    job: Job,
    kind: str,
    path: str,
    manifest: JsonObject,
    manifest_sha256: str,
    metrics: JsonObject,
) -> ModelVersion:
    """Register a copied and verified model as a candidate. Safe to repeat."""
    assert job.project_id is not None
    with transaction.atomic():
        project = Project.objects.select_for_update(no_key=True).get(pk=job.project_id)
        before = ModelVersion.objects.filter(project=project, path=path).first()
        if before is not None:
            return before
        numbers = ModelVersion.objects.filter(project=project, kind=kind)
        version = ModelVersion.objects.create(
            project=project,
            kind=kind,
            number=(numbers.aggregate(top=Max("number"))["top"] or 0) + 1,
            stage=GIVEN,
            path=path,
            manifest=manifest,
            manifest_sha256=manifest_sha256,
            metrics=metrics,
        )
        events.record("model.adopted", version, actor=job.requested_by)
    return version
