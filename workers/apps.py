"""`workers` is an installed app so that Django finds its commands (seed_demo, simulate, prove)."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "workers"
