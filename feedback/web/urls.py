"""Paths of the pages, from the `urls.py` of each room."""

from django.urls import URLPattern

from feedback.web.collection import urls as collection
from feedback.web.data import urls as data
from feedback.web.evaluation import urls as evaluation
from feedback.web.platform import urls as platform
from feedback.web.quality import urls as quality
from feedback.web.registry import urls as registry
from feedback.web.screening import urls as screening
from feedback.web.training import urls as training

urlpatterns: list[URLPattern] = [
    *platform.urlpatterns,
    *collection.urlpatterns,
    *quality.urlpatterns,
    *screening.urlpatterns,
    *data.urlpatterns,
    *training.urlpatterns,
    *evaluation.urlpatterns,
    *registry.urlpatterns,
]
