"""Paths of the admin's pages: projects, prompts, quality, snapshots, training, models, schedules, health."""

from django.urls import URLPattern

admin_pages: list[URLPattern] = []
