"""Piped into `manage.py shell`: a project for each world, its policies as versions, held-out prompts, and a crowd.

`CONTEST_WORLDS` names the file with {"worlds": [{"seed", "policies": {name: folder}, "prompts"}]};
prints {"admin": token, "annotators": [token], "worlds": {seed: {name: id of the version}}}. The first policy serves.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings

from feedback.models import Chain, Job, ModelVersion, Person, Project, Prompt, Split, TrainingRun
from feedback.services.collection import prompts
from feedback.services.platform import projects, tokens
from feedback.services.registry import model_versions

PEOPLE = 8


def register(project: Project, name: str, folder: Path) -> ModelVersion:
    """A version as the run that made it would leave it."""
    stage = "sft" if name == "sft" else "ppo"
    chain = Chain.objects.create(project=project, stages=[stage], kind=name, requested_by=admin)
    job = Job.objects.create(kind=Job.Kind.TRAINING, queue="train", project=project, requested_by=admin)
    number = TrainingRun.objects.filter(project=project).count() + 1
    run = TrainingRun.objects.create(
        project=project, job=job, chain=chain, stage=stage, number=number, folder=f"runs/{job.public_id}"
    )
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED)
    Chain.objects.filter(pk=chain.pk).update(state=Chain.State.SUCCEEDED)
    kept = f"{run.folder}/model"
    manifest = (folder / "manifest.json").read_bytes()
    shutil.copytree(folder, Path(settings.DATA_DIR) / kept)
    return model_versions.register(
        run=run,
        kind=ModelVersion.Kind.POLICY,
        path=kept,
        manifest=json.loads(manifest),
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        metrics={},
    )


given: dict[str, Any] = json.loads(Path(os.environ["CONTEST_WORLDS"]).read_text())
admin = Person.objects.create_superuser("admin", "a-long-password-for-tests")
crowd = [Person.objects.create(username=f"annotator-{number}", password="!") for number in range(1, PEOPLE + 1)]
versions: dict[str, dict[str, str]] = {}
for one in given["worlds"]:
    project = projects.open_project(
        by=admin, name=f"World {one['seed']}", slug=f"world-{one['seed']}", sampling={"max_new_tokens": 48}
    )
    for person in crowd:
        projects.set_member(by=admin, project=project, person=person, role="annotator")
    for text in one["prompts"]:
        prompts.submit_prompt(project=project, by=admin, messages=[{"role": "user", "content": text}])
    Prompt.objects.filter(project=project).update(split=Split.TEST)  # held out when the models were made
    made = {name: register(project, name, Path(folder)) for name, folder in one["policies"].items()}
    versions[str(one["seed"])] = {name: str(version.public_id) for name, version in made.items()}
secrets = [tokens.create_token(person=person, name="bench", scopes=["annotate"])[1] for person in crowd]
own = tokens.create_token(person=admin, name="bench", scopes=["read", "train", "admin"])[1]
print(json.dumps({"admin": own, "annotators": secrets, "worlds": versions}))
