"""Paths of the API of quality: quality, reviews, exclusions, gold tasks."""

from django.urls import URLPattern, path

from feedback.api.quality import exclusions, quality, reliability, reviews

urlpatterns: list[URLPattern] = [
    path("concerns/", reviews.Concerns.as_view()),
    path("concerns/<uuid:id>/dismiss/", reviews.DismissConcern.as_view()),
    path("quality/", quality.Quality.as_view()),
    path("exclusions/", exclusions.Exclusions.as_view()),
    path("exclusions/<uuid:id>/lift/", exclusions.LiftExclusion.as_view()),
    path("exclusions/<uuid:id>/reopen-tasks/", exclusions.ReopenTasks.as_view()),
    path("snapshots/<uuid:id>/annotator-weights/", reliability.SnapshotReliability.as_view()),
]
