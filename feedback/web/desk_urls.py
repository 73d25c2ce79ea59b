"""Paths of the desk."""

from django.urls import URLPattern, path

from feedback.web import desk

desk_urls: list[URLPattern] = [
    path("p/<slug:slug>/desk/", desk.desk, name="desk"),
]
