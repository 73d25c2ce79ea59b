"""Paths of the desk."""

from django.urls import URLPattern, path

from feedback.web import desk, talk

desk_urls: list[URLPattern] = [
    path("p/<slug:slug>/desk/", desk.desk, name="desk"),
    path("p/<slug:slug>/desk/next/", desk.following, name="desk_next"),
    path("p/<slug:slug>/desk/undo/", desk.undo, name="desk_undo"),
    path("p/<slug:slug>/desk/guidelines/read/", desk.read_guidelines, name="desk_guidelines_read"),
    path("p/<slug:slug>/talk/", talk.begin, name="talks"),
    path("p/<slug:slug>/talk/<uuid:conversation_id>/", talk.talk, name="talk"),
    path("talk/<uuid:conversation_id>/say/", talk.say, name="talk_say"),
    path("talk/<uuid:conversation_id>/retry/", talk.retry, name="talk_retry"),
    path("talk/<uuid:conversation_id>/end/", talk.end, name="talk_end"),
    path("talk/<uuid:assignment_id>/answer/", talk.answer, name="talk_answer"),
    path("desk/renew/", desk.renew, name="desk_renew"),
    path("desk/<uuid:assignment_id>/submit/", desk.submit, name="desk_submit"),
    path("desk/<uuid:assignment_id>/revise/", desk.revise, name="desk_revise"),
    path("desk/<uuid:assignment_id>/skip/", desk.skip, name="desk_skip"),
    path("desk/<uuid:assignment_id>/flag/", desk.flag, name="desk_flag"),
    path("desk/<uuid:assignment_id>/draft/", desk.draft, name="desk_draft"),
    path("desk/<uuid:assignment_id>/again/", desk.again, name="desk_again"),
    path("desk/<uuid:assignment_id>/release/", desk.release, name="desk_release"),
]
