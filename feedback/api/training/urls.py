"""Paths of the API of training: pipelines, runs, preflight checks, campaigns, schedules."""

from django.urls import URLPattern, path

from feedback.api.training import campaigns, pipelines, preflight, runs, schedules, stages

urlpatterns: list[URLPattern] = [
    path("stages/", stages.Stages.as_view()),
    path("training-runs/", runs.TrainingRuns.as_view()),
    path("training-runs/preflight/", preflight.Preflights.as_view()),
    path("training-runs/preflight/<uuid:id>/start/", preflight.StartPreflight.as_view()),
    path("training-runs/<uuid:id>/", runs.OneRun.as_view()),
    path("training-runs/<uuid:id>/cancel/", runs.CancelRun.as_view()),
    path("training-runs/<uuid:id>/retry/", runs.RetryRun.as_view()),
    path("training-runs/<uuid:id>/start-again/", runs.StartAgain.as_view()),
    path("training-runs/<uuid:id>/looks/", runs.RunLooks.as_view()),
    path("training-runs/<uuid:id>/metrics/", runs.RunMetrics.as_view()),
    path("training-runs/<uuid:id>/log/", runs.RunLog.as_view()),
    path("training-runs/<uuid:id>/samples/", runs.RunSamplesView.as_view()),
    path("chains/", pipelines.Chains.as_view()),
    path("chains/<uuid:id>/", pipelines.OneChain.as_view()),
    path("chains/<uuid:id>/cancel/", pipelines.CancelChain.as_view()),
    path("campaigns/", campaigns.Campaigns.as_view()),
    path("campaigns/<uuid:id>/", campaigns.OneCampaign.as_view()),
    path("campaigns/<uuid:id>/pause/", campaigns.PauseCampaign.as_view()),
    path("campaigns/<uuid:id>/resume/", campaigns.ResumeCampaign.as_view()),
    path("campaigns/<uuid:id>/end/", campaigns.EndCampaign.as_view()),
    path("schedules/", schedules.Schedules.as_view()),
    path("schedules/<uuid:id>/", schedules.OneSchedule.as_view()),
]
