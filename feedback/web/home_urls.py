"""Paths of home, account, sign-in and glossary."""

from django.urls import URLPattern, path

from feedback.web import account, glossary_page, home

home_urls: list[URLPattern] = [
    path("", home.home, name="home"),
    path("p/<slug:slug>/", home.project_home, name="project_home"),
    path("sign-in/", account.sign_in, name="sign_in"),
    path("sign-out/", account.sign_out, name="sign_out"),
    path("account/", account.account, name="account"),
    path("p/<slug:slug>/mine/", account.answers, name="own_answers"),
    path("account/tokens/", account.create_token, name="create_token"),
    path("account/tokens/<uuid:token_id>/revoke/", account.revoke_token, name="revoke_token"),
    path("glossary/", glossary_page.glossary, name="glossary"),
]
