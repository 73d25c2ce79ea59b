"""Paths of the pages of evaluation: evaluations, gates, contests, the arena, active selection."""

from django.urls import URLPattern, path

from feedback.web.evaluation import active_selection, arena, battles, contests, evaluations, live_accuracy

urlpatterns: list[URLPattern] = [
    path("p/<slug:slug>/arena/", arena.arena, name="arena"),
    path("p/<slug:slug>/arena/battle/", battles.begin, name="battle_begin"),
    path("p/<slug:slug>/arena/battles/<uuid:battle_id>/", battles.battle, name="battle"),
    path("p/<slug:slug>/arena/battles/<uuid:battle_id>/vote/", battles.vote, name="battle_vote"),
    path("p/<slug:slug>/models/live-accuracy/", live_accuracy.newest, name="newest_live_accuracy"),
    path("p/<slug:slug>/models/<uuid:model_id>/live-accuracy/", live_accuracy.live_accuracy, name="live_accuracy"),
    path("p/<slug:slug>/models/evaluations/<uuid:evaluation_id>/", evaluations.evaluation, name="evaluation"),
    path(
        "p/<slug:slug>/models/evaluations/<uuid:evaluation_id>.json",
        evaluations.evaluation_json,
        name="evaluation_json",
    ),
    path("p/<slug:slug>/project/active-selection/", active_selection.active_selection, name="active_selection"),
    path("p/<slug:slug>/project/active-selection/switch/", active_selection.switch, name="active_selection_switch"),
    path("p/<slug:slug>/project/active-selection/replay/", active_selection.replay, name="active_selection_replay"),
    path("p/<slug:slug>/contests/", contests.contests, name="contests"),
    path("p/<slug:slug>/contests/<uuid:contest_id>/", contests.contest, name="contest"),
    path("p/<slug:slug>/contests/<uuid:contest_id>/evidence.json", contests.contest_evidence, name="contest_evidence"),
    path("p/<slug:slug>/contests/<uuid:contest_id>/pause/", contests.contest_pause, name="contest_pause"),
    path("p/<slug:slug>/contests/<uuid:contest_id>/resume/", contests.contest_resume, name="contest_resume"),
    path("p/<slug:slug>/contests/<uuid:contest_id>/stop/", contests.contest_stop, name="contest_stop"),
    path("p/<slug:slug>/models/<uuid:model_id>/safety-test/", contests.safety_test, name="safety_test"),
    path("p/<slug:slug>/models/<uuid:model_id>/contest/", contests.contest_new, name="contest_new"),
]
