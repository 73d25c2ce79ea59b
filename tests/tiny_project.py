"""Piped into `manage.py shell`: a small project in which every stage can run within seconds. Prints {"token": …}."""

import json

from feedback.models import Corpus, Document, Person, Prompt, Response
from feedback.rules.data.content_hash import sha256
from feedback.services.collection import prompts
from feedback.services.data import preferences
from feedback.services.platform import people, projects, tokens
from workers.demo import corpus, demonstrations, world
from workers.demo.utility import utility

admin = Person.objects.create_superuser("admin", "a-long-password-for-tests")
project = projects.open_project(
    by=admin,
    name="Tiny desk",
    slug="tiny",
    sampling={"max_new_tokens": 24},
    training_policy={
        "preset": "tiny",
        "snapshot": {"prompt_sources": ["world"]},
        "stages": {
            "ppo": {"iterations": 6, "rollout_batch": 16, "evaluate_every": 3, "max_new_tokens": 24},
            "evaluate": {"responses": 2, "max_new_tokens": 24},
        },
    },
)
documents = corpus.documents(0, 1500)
own = Corpus.objects.create(project=project, name="Tiny corpus")
Document.objects.bulk_create(Document(corpus=own, text_hash=sha256(d.text), **d.row()) for d in documents)
for prompt in world.prompts():
    prompts.submit_prompt(project=project, by=admin, messages=prompt.messages, source="world")
known = {prompt.text: prompt for prompt in Prompt.objects.filter(project=project)}
writer = people.imported_person(source="tests", name="writer")
Response.objects.bulk_create(
    Response(project=project, prompt=known[d.prompt.text], text=d.reply, author=writer)
    for d in demonstrations.demonstrations(0, 120)
)
told = demonstrations.demonstrations(1, 288)
by_prompt: dict[world.Prompt, list[str]] = {}
for one in told:
    by_prompt.setdefault(one.prompt, []).append(one.reply)
for prompt, replies in by_prompt.items():
    best = sorted(set(replies), key=lambda reply: utility(prompt.text, reply).total)
    if len(best) > 1:
        preferences.give_preference(
            project=project,
            by=admin,
            prompt_messages=prompt.messages,
            chosen=best[-1],
            rejected=best[0],
            source="tests",
            annotator_name="judge",
        )
scopes = ["read", "annotate", "submit", "data", "train", "admin"]
print(json.dumps({"token": tokens.create_token(person=admin, name="tests", scopes=scopes)[1]}))
