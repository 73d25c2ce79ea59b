"""Paths of the API of evaluation: evaluations, gates, contests, the arena, active selection."""

from django.urls import URLPattern, path

from feedback.api.evaluation import active_selection, arena, contests, evaluations, live_accuracy, safety

urlpatterns: list[URLPattern] = [
    path("arena/", arena.Arena.as_view()),
    path("contests/", contests.Contests.as_view()),
    path("contests/<uuid:id>/", contests.OneContest.as_view()),
    path("contests/<uuid:id>/units/", contests.ContestUnits.as_view()),
    path("contests/<uuid:id>/pause/", contests.PauseContest.as_view()),
    path("contests/<uuid:id>/resume/", contests.ResumeContest.as_view()),
    path("contests/<uuid:id>/stop/", contests.StopContest.as_view()),
    path("models/<uuid:id>/gate/", evaluations.ModelGate.as_view()),
    path("models/<uuid:id>/live-accuracy/", live_accuracy.ModelLiveAccuracy.as_view()),
    path("models/<uuid:id>/safety-test/", safety.ModelSafetyTest.as_view()),
    path("models/<uuid:id>/evaluations/", evaluations.Evaluations.as_view()),
    path("projects/<slug:project>/active-selection/", active_selection.ActiveSelection.as_view()),
    path("projects/<slug:project>/active-selection/replay/", active_selection.Replay.as_view()),
    path("projects/<slug:project>/active-selection/choices/", active_selection.Choices.as_view()),
]
