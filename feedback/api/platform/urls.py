"""Paths of the API of platform: projects, people, accounts, events, jobs, health."""

from django.urls import URLPattern, path

from feedback.api.platform import accounts, events, health, jobs, people, projects, tokens

urlpatterns: list[URLPattern] = [
    path("projects/", projects.Projects.as_view()),
    path("projects/<slug:project>/", projects.OneProject.as_view()),
    path("projects/<slug:project>/state/", projects.ProjectStateView.as_view()),
    path("projects/<slug:project>/rename/", projects.Rename.as_view()),
    path("projects/<slug:project>/members/", projects.Members.as_view()),
    path("projects/<slug:project>/members/<uuid:person>/", projects.OneMember.as_view()),
    path("projects/<slug:project>/guidelines/", projects.Guidelines.as_view()),
    path("projects/<slug:project>/guidelines/<int:number>/read/", projects.GuidelinesRead.as_view()),
    path("jobs/", jobs.Jobs.as_view()),
    path("jobs/<uuid:id>/", jobs.OneJob.as_view()),
    path("jobs/<uuid:id>/cancel/", jobs.CancelJob.as_view()),
    path("jobs/<uuid:id>/retry/", jobs.RetryJob.as_view()),
    path("events/", events.Events.as_view()),
    path("tokens/", tokens.Tokens.as_view()),
    path("tokens/<uuid:id>/", tokens.OneToken.as_view()),
    path("people/", people.People.as_view()),
    path("people/me/", people.Me.as_view()),
    path("people/invitations/", accounts.Invitations.as_view()),
    path("people/<uuid:id>/", accounts.OnePerson.as_view()),
    path("people/<uuid:id>/suspend/", accounts.Suspend.as_view()),
    path("people/<uuid:id>/reinstate/", accounts.Reinstate.as_view()),
    path("people/<uuid:id>/sign-out/", accounts.SignOutEverywhere.as_view()),
    path("people/<uuid:id>/password-link/", accounts.PasswordLink.as_view()),
    path("health/", health.Health.as_view()),
]
