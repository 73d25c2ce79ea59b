"""A request body that starts or checks a pipeline becomes a `PipelineRequest`."""

from functools import partial
from typing import Any

from feedback.api.serializers import ValidatedData
from feedback.api.views import ServiceView
from feedback.errors import Invalid
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access
from feedback.selectors.training.plans import PipelineRequest


def pipeline_request(view: ServiceView, given: ValidatedData) -> PipelineRequest:
    """The request that a body describes, with the rows that it names, all of the same project.

    Raises:
        NotFound, Invalid: a row is absent, or belongs to another project.
    """
    project = view.row_named("project", access.get_project, given["project"], access.ADMIN)
    fetchers: tuple[tuple[str, Any], ...] = (
        ("base_model", access.get_model),
        ("snapshot", access.get_snapshot),
        ("corpus", partial(access.get_corpus, role=access.ADMIN)),
    )
    rows: JsonObject = {}
    for name, fetch in fetchers:
        if given.get(name) is None:
            continue
        rows[name] = view.row_named(name, fetch, given[name])
        if rows[name].project_id != project.pk:
            raise Invalid("It belongs to another project.", field=name)
    return PipelineRequest(
        project=project,
        stages=tuple(given["stages"]),
        config=given.get("config") or {},
        seed=given["seed"],
        texts=given.get("texts", ""),
        promote=given.get("promote", False),
        ignore_findings=tuple(given.get("ignore_findings", ())),
        **rows,
    )
