"""Paths of the pages of training: pipelines, runs, preflight checks, campaigns, schedules."""

from django.urls import URLPattern, path

from feedback.web.training import campaigns, pipelines, preflight, runs, schedules

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/train/", pipelines.train, name="train"),
    path("p/<slug:slug>/train/preflight/", preflight.ask, name="preflight_ask"),
    path("p/<slug:slug>/train/preflight/<uuid:job_id>/", preflight.look, name="preflight"),
    path("p/<slug:slug>/train/preflight/<uuid:job_id>/start/", preflight.start, name="preflight_start"),
    path("p/<slug:slug>/train/compare/", runs.compare, name="runs_compare"),
    path("p/<slug:slug>/train/compare/<slug:plot>.json", runs.compare_points, name="runs_compare_points"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/", runs.run, name="run"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/looks/", runs.score_looks, name="run_score_looks"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/looks/scores.json", runs.look_points, name="run_look_points"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/<slug:plot>.json", runs.points, name="run_points"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/cancel/", runs.cancel, name="run_cancel"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/retry/", runs.retry, name="run_retry"),
    path("p/<slug:slug>/train/runs/<uuid:run_id>/start-again/", runs.start_again, name="run_start_again"),
    path("p/<slug:slug>/campaigns/", campaigns.campaigns, name="campaigns"),
    path("p/<slug:slug>/campaigns/<uuid:campaign_id>/", campaigns.campaign, name="campaign"),
    path("p/<slug:slug>/campaigns/<uuid:campaign_id>/switch/", campaigns.switch, name="campaign_switch"),
    path("p/<slug:slug>/campaigns/<uuid:campaign_id>/budget/", campaigns.budget, name="campaign_budget"),
    path("p/<slug:slug>/campaigns/<uuid:campaign_id>/end/", campaigns.end, name="campaign_end"),
    path("p/<slug:slug>/schedules/", schedules.schedules, name="schedules"),
    path("p/<slug:slug>/schedules/<uuid:schedule_id>/switch/", schedules.switch, name="schedule_switch"),
    path("p/<slug:slug>/schedules/<uuid:schedule_id>/delete/", schedules.delete, name="schedule_delete"),
]
