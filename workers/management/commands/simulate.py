"""manage.py simulate: see workers/demo_commands/simulate.py."""

from workers.management.demo_command import demo_command

Command = demo_command("simulate")
