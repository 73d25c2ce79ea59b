"""Paths of the pages of quality: quality, reviews, exclusions, gold tasks."""

from django.urls import URLPattern, path

from feedback.web.quality import exclusions, gold, quality, reliability, reviews

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/gold/", gold.right_answer, name="task_gold"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/gold/settled/", gold.from_annotations, name="task_gold_settled"),
    path("p/<slug:slug>/data/tasks/<uuid:task_id>/gold/remove/", gold.remove, name="task_gold_remove"),
    path("p/<slug:slug>/quality/", quality.quality, name="quality"),
    path("p/<slug:slug>/quality/figures.<slug:form>", quality.figures, name="quality_figures"),
    path("p/<slug:slug>/quality/exclusions/<uuid:key>/lift/", exclusions.lift, name="exclusion_lift"),
    path("p/<slug:slug>/quality/exclusions/<uuid:key>/reopen/", exclusions.reopen, name="exclusion_reopen"),
    path("p/<slug:slug>/data/snapshots/<uuid:snapshot_id>/annotators/", reliability.weights, name="snapshot_weights"),
    path("p/<slug:slug>/review/", reviews.review, name="review"),
    path("p/<slug:slug>/review/<uuid:concern_id>/", reviews.decide, name="review_decide"),
]
