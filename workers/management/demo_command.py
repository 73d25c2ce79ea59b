"""Finds the commands of the demo world, which the production image leaves out."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from django.core.management.base import BaseCommand, CommandError

ABSENT = "The demo world is not installed here: the production image leaves it out. Run this command in a source tree."


class AbsentCommand(BaseCommand):
    """Stands in for a command of the demo world and says why it cannot run."""

    help = ABSENT

    def run_from_argv(self, argv: Sequence[str]) -> None:
        """Exits with 1 and the sentence, whatever the options are: nothing here knows them."""
        self.stderr.write(ABSENT)
        sys.exit(1)

    def handle(self, *args: object, **options: object) -> None:
        """Raises CommandError."""
        raise CommandError(ABSENT)


def demo_installed() -> bool:
    return find_spec("workers.demo") is not None


def demo_command(name: str) -> type[BaseCommand]:
    """The command of `workers/demo_commands`, or `AbsentCommand` where the demo world was left out."""
    if not demo_installed():
        return AbsentCommand
    return cast(type[BaseCommand], import_module(f"workers.demo_commands.{name}").Command)
