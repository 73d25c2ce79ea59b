"""Piped into `manage.py shell` after tiny_project.py: 120 comparisons, each wanted from two people."""

from django.db import transaction

from feedback.models import Project, Prompt, Response
from feedback.services.collection import tasks
from workers.demo import demonstrations

project = Project.objects.get(slug="tiny")
Project.objects.filter(pk=project.pk).update(annotations_per_task=2)
prompts = {prompt.text: prompt for prompt in Prompt.objects.filter(project=project)}
by_prompt: dict[str, list[str]] = {}
for one in demonstrations.demonstrations(2, 900):
    by_prompt.setdefault(one.prompt.text, []).append(one.reply)
made = 0
for text, replies in by_prompt.items():
    distinct = list(dict.fromkeys(replies))
    for left, right in zip(distinct[::2], distinct[1::2], strict=False):
        if made == 120:
            break
        prompt = prompts[text]
        with transaction.atomic():
            pair = [
                Response.objects.create(project=project, prompt=prompt, text=reply, model_name="demo")
                for reply in (left, right)
            ]
            tasks.create_task(
                project=project, by=None, kind="comparison", prompt=prompt, responses=pair, annotations_wanted=2
            )
        made += 1
print(made)
