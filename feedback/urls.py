"""Every path of the service."""

from django.urls import include, path
from django_prometheus.exports import ExportToDjangoView

from feedback.api import health
from feedback.api.urls import openai_v1

handler404 = "feedback.api.errors.page_not_found"
handler500 = "feedback.api.errors.server_error"

urlpatterns = [
    path("api/", include("feedback.api.urls")),
    path("v1/", include(openai_v1)),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", ExportToDjangoView, name="metrics"),
    path("", include("feedback.web.urls")),
]
