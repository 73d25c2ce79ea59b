"""manage.py prove_loop: see workers/demo_commands/prove_loop.py."""

from workers.management.demo_command import demo_command

Command = demo_command("prove_loop")
