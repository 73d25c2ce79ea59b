"""What somebody does who means harm, or whose program is broken: each is answered with a sentence, and harms nobody."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from feedback.models import Person, Project
from feedback.services import schedules, supply

# --- settings that would stop everybody's work ------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("training_policy", {"stages": [1]}),
        ("training_policy", {"stages": {"sft": 5}}),
        ("training_policy", {"preset": {}}),
        ("training_policy", {"snapshot": 7}),
        ("training_policy", {"snapshot": {"prompt_sources": 5}}),
        ("training_policy", {"snapshot": {"extras": "yes"}}),
        ("sampling", {"max_new_tokens": 10**9}),
        ("sampling", {"max_new_tokens": "all"}),
        ("sampling", {"temperature": -1}),
        ("sampling", {"top_p": 0}),
    ],
)
def test_settings_of_another_shape_are_refused(project: Project, ada: Person, setting: str, value: Any) -> None:
    """Housekeeping and the clock serve all projects in one go: what breaks on one project would stop the others."""
    client = APIClient()
    client.force_login(ada)
    reply = client.patch(f"/api/v1/projects/{project.slug}/", {setting: value}, format="json")
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["attr"].startswith(setting)
    assert supply.top_up() == 0 and schedules.start_due() == []


@pytest.mark.parametrize("config", [{"sft": [1]}, {"sft": {}, "preset": {}}])
def test_settings_of_a_chain_are_objects(project: Project, ada: Person, config: Any) -> None:
    client = APIClient()
    client.force_login(ada)
    start = {"project": project.slug, "stages": ["sft"], "config": config}
    for path, more in (("chains", {}), ("schedules", {"name": "nightly", "every_seconds": 3600})):
        reply = client.post(f"/api/v1/{path}/", start | more, format="json")
        assert (reply.status_code, reply.json()["errors"][0]["attr"].split(".")[0]) == (400, "config")
