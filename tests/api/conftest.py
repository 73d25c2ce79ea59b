"""What the stories told over REST have in common."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from feedback.models import Project


@pytest.fixture
def next_task(project: Project) -> Callable[..., Any]:
    """`next_task(client)`: the assignment given, or the 204 reply."""

    def ask(client: APIClient, **body: Any) -> Any:
        reply = client.post("/api/v1/tasks/next/", {"project": project.slug, **body})
        assert reply.status_code in (200, 204), reply.content
        return reply.json() if reply.status_code == 200 else reply

    return ask


@pytest.fixture
def submit() -> Callable[..., Any]:
    """`submit(client, assignment, answer, key=…)`: the reply."""

    def send(client: APIClient, assignment: dict[str, Any], answer: dict[str, Any], key: str = "", **more: Any) -> Any:
        return client.post(
            f"/api/v1/assignments/{assignment['id']}/submit/",
            {"answer": answer, **more},
            HTTP_IDEMPOTENCY_KEY=key or f"key-{assignment['id']}",
        )

    return send
