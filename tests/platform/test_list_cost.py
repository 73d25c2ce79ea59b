"""Somebody opens a list: a longer page asks the database no more often than a short one."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api_contract import document
from tests.every_kind import fill
from tests.furnish import furnish

pytestmark = pytest.mark.one_database

# What a page reads beside its rows (the session, the project, the count) is the same for each length, but for lookups
# that are skipped where the page holds no row of their kind: a page of jobs reads each queue once.
LEEWAY = 5


def lists() -> list[str]:
    """The paths of every list that is paged."""
    return [
        path
        for path, methods in document["paths"].items()
        if "get" in methods and any(one["name"] == "page_size" for one in methods["get"].get("parameters", []))
    ]


def test_a_page_of_many_rows_costs_as_many_statements_as_a_page_of_two(
    client_for: Any, project: Any, ada: Any, rosa: Any, ben: Any, chloe: Any
) -> None:
    furnish(project, ada, [ben, chloe], answers=8)
    fill(project, ada, rosa, ben, chloe)
    client, wrong, unseen, longest = client_for(ada), {}, [], 0
    paths = [path for path in lists() if "{id}" not in path]
    for path in paths:
        where = path.replace("{project}", project.slug)
        counts, rows = [], []
        for size in (2, 50):
            with CaptureQueriesContext(connection) as made:
                reply = client.get(where, {"project": project.slug, "page_size": size})
            if reply.status_code == 400:  # a list of the whole site takes no project
                with CaptureQueriesContext(connection) as made:
                    reply = client.get(where, {"page_size": size})
            if reply.status_code == 404:  # the lists inside of a corpus or a conversation, which want its id
                continue
            assert reply.status_code in (200, 403), (path, reply.content)
            counts.append(len(made))
            rows.append(len(reply.json().get("results", [])))
        longest = max([longest, *rows])
        if not counts:
            unseen.append(path)
        elif counts[1] > counts[0] + LEEWAY:
            wrong[path] = {"statements": counts, "rows": rows}
    assert wrong == {}
    assert unseen == ["/api/v1/documents/"]
    assert len(paths) > 15
    assert longest >= 20
