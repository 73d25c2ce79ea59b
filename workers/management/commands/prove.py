"""manage.py prove: see workers/demo_commands/prove.py."""

from workers.management.demo_command import demo_command

Command = demo_command("prove")
