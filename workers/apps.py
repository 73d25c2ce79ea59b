"""`workers` is an installed app so that its commands (seed_demo, simulate, prove) are found."""

from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "workers"
