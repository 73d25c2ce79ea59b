"""manage.py prove: runs every stage from a tokenizer to PPO on the demo world, checks its claims, writes a report.

It needs no running service. Exit code 1 means that a claim failed, and names it; the report is written in any case.
"""

import json
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from workers.demo.proof_report import page
from workers.demo.prove import ProofFailed, missed, prove


class Command(BaseCommand):
    help = "Proves on a CPU that training works, and that over-optimization is detected and reported."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
        parser.add_argument("--processes", type=int, default=2, help="seeds side by side, a thread each")
        parser.add_argument("--folder", type=Path, default=Path(settings.DATA_DIR) / "prove")

    def handle(self, **options: Any) -> None:
        folder: Path = options["folder"]
        try:
            report = prove(folder, options["seeds"], options["processes"])
        except ProofFailed as failure:
            raise CommandError(str(failure)) from failure
        (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
        (folder / "report.html").write_text(page(report), encoding="utf-8")
        for figures in report["seeds"]:
            for one in figures["verdicts"]:
                mark = "holds" if one["ok"] else "FAILS"
                self.stdout.write(f"seed {figures['seed']}  {mark}  {one['sentence']}: {one['value']}")
        self.stdout.write(f"{report['wall_seconds']:.0f} s, {report['cpu_seconds']:.0f} s of CPU. {folder}/report.html")
        if failures := missed(report):
            raise CommandError("\n".join(failures))
