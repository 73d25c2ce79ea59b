"""Paths of the pages of platform: projects, people, accounts, events, jobs, health."""

from django.urls import URLPattern, path

from feedback.web.platform import account, glossary, health, home, learn, projects

urlpatterns: list[URLPattern] = [
    path("", home.home, name="home"),
    path("p/<slug:slug>/", home.project_home, name="project_home"),
    path("sign-in/", account.sign_in, name="sign_in"),
    path("sign-out/", account.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("p/<slug:slug>/mine/", account.answers, name="own_answers"),
    path("account/tokens/", account.create_token, name="create_token"),
    path("account/tokens/<uuid:token_id>/revoke/", account.revoke_token, name="revoke_token"),
    path("glossary/", glossary.glossary, name="glossary"),
    path("learn/", learn.course, name="learn"),
    path("learn/depth/", learn.set_depth, name="learn_depth"),
    path("learn/cards/", learn.cards, name="learn_cards"),
    path("learn/cards/<slug:key>/", learn.mark_card, name="learn_card"),
    path("learn/<slug:stage>/", learn.stage, name="learn_stage"),
    path("learn/<slug:stage>/quiz/", learn.finish_quiz, name="learn_quiz"),
    path("p/<slug:slug>/learn/tokens/", learn.split_text, name="learn_tokens"),
    path("projects/", projects.projects, name="projects"),
    path("projects/new/", projects.new, name="project_new"),
    path("health/", health.service_health, name="health"),
    path("p/<slug:slug>/health/", health.of_project, name="health"),
    path("p/<slug:slug>/project/", projects.settings, name="project"),
    path("p/<slug:slug>/project/state/", projects.set_state, name="project_state"),
    path("p/<slug:slug>/project/guidelines/", projects.guidelines, name="project_guidelines"),
    path("p/<slug:slug>/project/members/", projects.members, name="project_members"),
    path("p/<slug:slug>/project/members/add/", projects.add_member, name="member_add"),
    path("p/<slug:slug>/project/members/new/", projects.create_person, name="person_new"),
    path("p/<slug:slug>/project/members/<uuid:person_id>/role/", projects.set_role, name="member_role"),
    path("p/<slug:slug>/project/members/<uuid:person_id>/remove/", projects.remove_member, name="member_remove"),
]
