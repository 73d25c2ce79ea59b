"""manage.py write_schema: compute the API's description for this release, so that no web process has to."""

from typing import Any

from django.core.management import BaseCommand

from feedback.api.platform import schema


class Command(BaseCommand):
    help = "Compute the API's description for this release and keep it in DATA_DIR, unless that was done."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        schema.write()
