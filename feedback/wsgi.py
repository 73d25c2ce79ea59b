"""The WSGI application that gunicorn serves."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")

application = get_wsgi_application()
get_resolver().url_patterns  # noqa: B018 - imports every view now, not at the first request
