"""The second demo project: messages to classify and mark, and requests whose responses are ranked, rated or written.

The messages are in `workers/demo/inbox.json`; the people and places in them are invented.
"""

import json
from pathlib import Path
from typing import NotRequired, TypedDict

from feedback.models import Kind, Person, Project, Prompt, Task
from feedback.services.collection import prompts, tasks
from feedback.services.platform import projects
from workers import demo
from workers.demo import labels

SLUG = "inbox"
SOURCE = "inbox"
# Decides the splits: with this one eight of the 46 texts are test prompts and nine selection ones, some of each kind.
SALT = "inbox 1576"
FILE = Path(demo.__file__).parent / "inbox.json"
KINDS = [Kind.CLASSIFICATION, Kind.SPANS, Kind.RANKING, Kind.RATING, Kind.DEMONSTRATION]
GUIDELINES = """\
# Sorting the inbox

Read the whole message first. Choose what its **sender** meant it to be, not what you would do with it.

- **Folder**: a message about a job is work even between friends; an offer is a promotion even from a friend.
- **Names, places, dates**: mark the words and nothing around them. *Ms Ilse Brandt* is one name; *the manager* is none.
- **Ranking and rating**: an answer is good when its reader could send it as it is.
- **Writing**: as short as it can be, and kind.

In doubt, skip and say why; that helps more than a guess.
"""


class Message(TypedDict):
    """A message of the file: which tasks to make of it (`ask`), and the names that it shares with others (`group`)."""

    key: str
    text: str
    ask: str
    group: NotRequired[str]


class Request(TypedDict):
    """A request of the file with its responses."""

    key: str
    prompt: str
    responses: list[str]


def seed(admin: Person, members: list[tuple[Person, str]]) -> Project:
    """Create the project with its people and tasks. Rows that exist are left as they are."""
    project = Project.objects.filter(slug=SLUG).first()
    if project is None:
        project = projects.open_project(
            by=admin,
            name="Inbox",
            slug=SLUG,
            kinds=[kind.value for kind in KINDS],
            description="Short messages to file and to mark, and a few answers to rank, to rate and to write better.",
            dimensions=["helpful", "kind"],
            label_scheme=labels.schemes(),
        )
        Project.objects.filter(pk=project.pk).update(split_salt=SALT)
        project.refresh_from_db()
    for person, role in members:
        projects.set_member(by=admin, project=project, person=person, role=role)
    projects.publish_guidelines(by=admin, project=project, text=GUIDELINES)
    contents = json.loads(FILE.read_text(encoding="utf-8"))
    there = set(Task.objects.filter(project=project).values_list("external_id", flat=True))
    for message in contents["messages"]:
        _message(project, admin, message, there)
    for place, request in enumerate(contents["requests"]):
        _request(project, admin, request, place, there)
    return project


def _message(project: Project, admin: Person, message: Message, there: set[str | None]) -> None:
    """Create tasks for spans or a topic where the message offers some, and for a folder or its tone otherwise.

    Messages that name the same people and places form one group, so that a tagger is never tested on names that it saw
    in training.
    """
    question = message["ask"]
    schemes = {"names": [labels.SPANS, labels.FOLDER], "topic": [labels.TOPIC, labels.TONE], "folder": [labels.FOLDER]}
    for scheme in schemes[question]:
        key = f"inbox-{message['key']}-{scheme.name}"
        if key not in there:
            prompt = _prompt(project, admin, message["key"], message["text"], message.get("group", ""))
            tasks.create_task(
                project=project,
                by=admin,
                kind=scheme.kind,
                prompt=prompt,
                responses=[],
                ask={"scheme": scheme.name},
                external_id=key,
            )


def _request(project: Project, admin: Person, request: Request, place: int, there: set[str | None]) -> None:
    """Create one task to rank all responses, one to rate one, and one to write (from scratch, or by editing)."""
    prompt = _prompt(project, admin, request["key"], request["prompt"])
    answers = []
    for number, text in enumerate(request["responses"]):
        external_id = f"inbox-{request['key']}-{number}"
        response, _ = prompts.add_response(
            prompt=prompt, by=None, text=text, model_name="handwritten", external_id=external_id
        )
        answers.append(response)
    shown = {
        Kind.RANKING: answers,
        Kind.RATING: [answers[place % len(answers)]],
        Kind.DEMONSTRATION: [answers[1]] if place % 2 else [],
    }
    for kind, responses in shown.items():
        key = f"inbox-{request['key']}-{kind.value}"
        if key not in there:
            tasks.create_task(project=project, by=admin, kind=kind, prompt=prompt, responses=responses, external_id=key)


def _prompt(project: Project, admin: Person, key: str, text: str, group: str = "") -> Prompt:
    prompt, _ = prompts.submit_prompt(
        project=project,
        by=admin,
        messages=[{"role": "user", "content": text}],
        source=SOURCE,
        external_id=f"inbox-{key}",
        responses_wanted=0,
        group=group,
    )
    return prompt
