"""manage.py prepare: what is done before the service starts: tables, static files, on a first start the demo.

A process of its own, so that `up`, which stays, need not hold all of Django in memory.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command, get_commands
from django.db.utils import OperationalError


class Command(BaseCommand):
    help = "Bring the database up to date, gather static files, and seed the demo project on first start."
    requires_system_checks: list[str] = []  # migrate, which comes first, runs them

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--no-demo", action="store_true", help="do not seed the demo project on first start")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CommandError(f"The database cannot be used: {str(error).strip()}. See DATABASE_URL.") from None
        if settings.PRODUCTION:
            call_command("collectstatic", interactive=False, verbosity=0)
        else:
            with suppress(OSError):  # files are found where they lie; the folder only keeps WhiteNoise from warning
                Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)
        if not options["no_demo"] and not settings.PRODUCTION and "seed_demo" in get_commands():
            call_command("seed_demo")
