"""Every path of the service."""

from django.urls import include, path

urlpatterns = [
    path("", include("feedback.web.urls")),
    path("api/", include("feedback.api.urls")),
]
