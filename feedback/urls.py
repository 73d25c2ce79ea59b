"""Every path of the service."""

from django.urls import include, path

from feedback.api.platform import health
from feedback.api.urls import openai_v1
from feedback.runtime import metrics

handler404 = "feedback.api.errors.page_not_found"
handler500 = "feedback.api.errors.server_error"

urlpatterns = [
    path("api/", include("feedback.api.urls")),
    path("v1/", include(openai_v1)),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("feedback.web.urls")),
]
