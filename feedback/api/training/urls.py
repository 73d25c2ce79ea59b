"""Paths of the API of training: pipelines, runs, preflight checks, schedules."""

from django.urls import URLPattern, path

from feedback.api.training import pipelines, preflight, schedules

urlpatterns: list[URLPattern] = [
    path("stages/", pipelines.Stages.as_view()),
    path("training-runs/", pipelines.TrainingRuns.as_view()),
    path("training-runs/preflight/", preflight.Preflights.as_view()),
    path("training-runs/preflight/<uuid:id>/start/", preflight.StartPreflight.as_view()),
    path("training-runs/<uuid:id>/", pipelines.OneRun.as_view()),
    path("training-runs/<uuid:id>/cancel/", pipelines.CancelRun.as_view()),
    path("training-runs/<uuid:id>/retry/", pipelines.RetryRun.as_view()),
    path("training-runs/<uuid:id>/start-again/", pipelines.StartAgain.as_view()),
    path("training-runs/<uuid:id>/metrics/", pipelines.RunMetrics.as_view()),
    path("training-runs/<uuid:id>/log/", pipelines.RunLog.as_view()),
    path("training-runs/<uuid:id>/samples/", pipelines.RunSamplesView.as_view()),
    path("chains/", pipelines.Chains.as_view()),
    path("chains/<uuid:id>/", pipelines.OneChain.as_view()),
    path("chains/<uuid:id>/cancel/", pipelines.CancelChain.as_view()),
    path("schedules/", schedules.Schedules.as_view()),
    path("schedules/<uuid:id>/", schedules.OneSchedule.as_view()),
]
