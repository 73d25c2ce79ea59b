"""One task of each kind, as tests ask for them."""

from itertools import count
from typing import Any

from feedback.models import Project, Task
from feedback.services.collection import tasks
from tests.factories import make_prompt, make_response

SCHEMES: dict[str, Any] = {
    "folder": {
        "name": "folder",
        "title": "Folder",
        "kind": "classification",
        "question": "Where would you file this message?",
        "many": False,
        "labels": [
            {"name": "work", "title": "Work", "definition": "From or about a job.", "key": "1"},
            {"name": "personal", "title": "Personal", "definition": "Between people who know each other.", "key": "2"},
            {"name": "promotions", "title": "Promotions", "definition": "Wants you to buy or click.", "key": "3"},
        ],
    },
    "topic": {
        "name": "topic",
        "kind": "classification",
        "many": True,
        "labels": [{"name": "device", "key": "d"}, {"name": "account"}, {"name": "billing"}],
    },
    "names": {
        "name": "names",
        "kind": "spans",
        "question": "Mark every name and place.",
        "labels": [
            {
                "name": "name",
                "title": "Name",
                "definition": "A particular person.",
                "key": "n",
                "mark": {"colour": "blue", "underline": "solid", "badge": "N"},
            },
            {
                "name": "place",
                "title": "Place",
                "key": "p",
                "mark": {"colour": "green", "underline": "double", "badge": "P"},
            },
        ],
    },
    "phrases": {"name": "phrases", "kind": "spans", "many": True, "labels": [{"name": "claim"}, {"name": "doubt"}]},
}
RESPONSES = {"comparison": 2, "ranking": 4, "rating": 1, "demonstration": 1}
TEXT = "Mara 🌿 Vell moved to Saltby."  # a plant outside the basic plane, so that counting shows
_numbers = count(1)


def make_kind(project: Project, kind: str, *, scheme: str = "", responses: int | None = None, text: str = "") -> Task:
    """An open task of that kind, its scheme added to the project."""
    if project.label_scheme != SCHEMES:
        project.label_scheme = SCHEMES
        project.save(update_fields=["label_scheme"])
    prompt = make_prompt(project, text or (TEXT if scheme else ""))
    number = RESPONSES.get(kind, 0) if responses is None else responses
    given = [make_response(prompt, f"Answer {next(_numbers)}: restart the **router**.") for _ in range(number)]
    ask = {"scheme": scheme} if scheme else None
    return tasks.create_task(project=project, by=None, kind=kind, prompt=prompt, responses=given, ask=ask)[0]
