"""The service as gunicorn serves it; on other paths where BENCH_URLS names some (bare.py has one more to compare)."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")

from django.conf import settings

if os.environ.get("BENCH_URLS"):
    settings.ROOT_URLCONF = os.environ["BENCH_URLS"]

from feedback.wsgi import application

__all__ = ["application"]
