"""Paths of home, account, sign-in and glossary."""

from django.urls import URLPattern, path

from feedback.web import glossary_page

home_urls: list[URLPattern] = [
    path("glossary/", glossary_page.glossary, name="glossary"),
]
