"""Paths of the API: those of each room, the index, the schema and its documentation."""

from django.urls import URLPattern, include, path

from feedback.api.collection import urls as collection
from feedback.api.data import urls as data
from feedback.api.evaluation import urls as evaluation
from feedback.api.platform import docs, index, schema
from feedback.api.platform import urls as platform
from feedback.api.quality import urls as quality
from feedback.api.registry import urls as registry
from feedback.api.screening import urls as screening
from feedback.api.training import urls as training

v1: list[URLPattern] = [
    *platform.urlpatterns,
    *collection.urlpatterns,
    *quality.urlpatterns,
    *screening.urlpatterns,
    *data.urlpatterns,
    *training.urlpatterns,
    *evaluation.urlpatterns,
    *registry.urlpatterns,
]
openai_v1 = collection.openai_v1

lists = tuple(sorted(str(url.pattern) for url in v1 if str(url.pattern).count("/") == 1))

urlpatterns = [
    path("v1/", index.Index.as_view(rooms=lists)),
    path("v1/", include(v1)),
    path("schema/", schema.schema, name="schema"),
    path("docs/", docs.Docs.as_view(), name="api_docs"),
]
