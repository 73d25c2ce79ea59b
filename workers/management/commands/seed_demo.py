"""manage.py seed_demo: see workers/demo_commands/seed_demo.py."""

from workers.management.demo_command import demo_command

Command = demo_command("seed_demo")
