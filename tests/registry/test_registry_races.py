"""What is refused must not begin to serve in the same moment."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from feedback.models import Person, Project
from feedback.services.registry import model_versions
from tests.factories import make_model

pytestmark = pytest.mark.database


def test_refusing_and_promoting_wait_for_each_other(project: Project, ada: Person) -> None:
    """Both take the project's row before they look at what serves; SQLite has one writer anyway."""
    make_model(project, ada, serve=True)
    later = make_model(project, ada)
    for act in (
        lambda: model_versions.promote(by=None, model_version=later, override_reason="It is better."),
        lambda: model_versions.roll_back(by=None, project=project),
        lambda: model_versions.decide(by=None, model_version=later, state="rejected"),
    ):
        with CaptureQueriesContext(
            connection,
        ) as asked:
            act()
        texts = [query["sql"] for query in asked]
        locked = next(place for place, sql in enumerate(texts) if 'FROM "feedback_project"' in sql)
        looked = next(place for place, sql in enumerate(texts) if 'FROM "feedback_deployment"' in sql)
        assert locked < looked
        assert connection.vendor == "sqlite" or "FOR NO KEY UPDATE" in texts[locked]
