"""Piped into `manage.py shell`: a project of 40 comparisons with K = 3 and 32 annotators. Prints their tokens."""

import json

from feedback.models import Person
from feedback.services.collection import prompts, tasks
from feedback.services.platform import projects, tokens

admin = Person.objects.create_superuser("admin", "a-long-password-for-tests")
project = projects.open_project(by=admin, name="Crowd", slug="crowd", annotations_per_task=3)
for number in range(40):
    prompt, _ = prompts.submit_prompt(
        project=project, by=admin, messages=[{"role": "user", "content": f"Question {number}?"}]
    )
    pair = [prompts.add_response(prompt=prompt, by=None, text=text, model_name="m")[0] for text in ("yes", "no")]
    tasks.create_task(project=project, by=admin, kind="comparison", prompt=prompt, responses=pair)
secrets = []
for number in range(32):
    person = Person.objects.create(username=f"annotator-{number}", password="!")
    projects.set_member(by=admin, project=project, person=person, role="annotator")
    secrets.append(tokens.create_token(person=person, name="tests", scopes=["annotate"])[1])
print(json.dumps({"tokens": secrets}))
