"""Paths of the desk."""

from django.urls import URLPattern

desk_urls: list[URLPattern] = []
