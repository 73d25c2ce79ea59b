"""manage.py prepare: prepares the database and static files before the service starts; the first start seeds the demo.

It runs in its own process, so that `up`, which keeps running, need not hold all of Django in memory.
"""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
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
        if options["no_demo"] or settings.PRODUCTION:
            return
        if find_spec("workers.demo") is not None:  # the production image leaves it out
            call_command("seed_demo")
