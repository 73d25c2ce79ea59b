"""Piped into `manage.py shell`: a campaign whose round is being compared by people, three annotators, fresh prompts.

Both policies are one small model that was never trained, whose texts differ by their seeds alone. CAP and PROMPTS come
from the environment. Prints {"admin": token, "annotators": {username: token}}.
"""

import json
import os
import shutil
from pathlib import Path

import torch
from django.conf import settings

from feedback.models import Contest, ModelVersion, Person
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import people, projects, tokens
from tests.factories import make_prompt
from tests.training.campaign_story import STAGES, advance, begin, current, label, train
from trainer.configs.stages import PretrainConfig
from trainer.modeling.loading import build_model, save_model
from trainer.recipes.tokenizer import train_tokenizer
from trainer.run.checkpoints import file_sha256, write_manifest

admin = Person.objects.create_superuser("admin", "a-long-password-for-tests")
project = projects.open_project(by=admin, name="Desk", slug="desk", sampling={"max_new_tokens": 8})
projects.set_member(by=admin, project=project, person=admin, role="admin")
crowd = {}
for name in ("ben", "chloe", "dora"):
    person = people.create_person(by=None, username=name, password="a-long-password-for-tests")
    projects.set_member(by=admin, project=project, person=person, role="annotator")
    crowd[name] = person
rules = Rules(cap=int(os.environ["CAP"]), share=1.0, preconditions="report")
campaign = begin(project, admin, after_labels=3, budget=10_000, contest=rules)
label(project, crowd["ben"], 3)
advance(campaign)
chain = current(campaign).chain
assert chain is not None and chain.stages == STAGES
train(chain)

files = Path(settings.DATA_DIR) / "untrained"
tokenizer = train_tokenizer(iter(["my router is slow"]), 300, 2)
torch.manual_seed(0)
shape = PretrainConfig(hidden_size=16, layers=1, heads=2, intermediate_size=32, context_length=128)
save_model(files, build_model(shape, tokenizer), tokenizer)
write_manifest(files, kind="policy", run={"run": "r", "stage": "pretrain", "seed": 0}, config={}, inputs={})
for version in ModelVersion.objects.filter(kind="policy"):
    shutil.rmtree(Path(settings.DATA_DIR) / version.path, ignore_errors=True)
    shutil.copytree(files, Path(settings.DATA_DIR) / version.path)
    ModelVersion.objects.filter(pk=version.pk).update(manifest_sha256=file_sha256(files / "manifest.json"))

advance(campaign)
assert Contest.objects.get().state == "running"
for _ in range(int(os.environ["PROMPTS"])):
    make_prompt(project)


def token(person: Person) -> str:
    return tokens.create_token(person=person, name="tests", scopes=["annotate", "read"])[1]


print(json.dumps({"admin": token(admin), "annotators": {name: token(person) for name, person in crowd.items()}}))
