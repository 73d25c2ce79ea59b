"""manage.py prove_loop: from nothing, a campaign runs rounds of the closed loop on the demo world; writes a report.

Each seed has a service of its own in a folder of its own, with processes as `manage.py up` runs them. Exit code 1 means
that a claim failed, and names it; the report is written in any case.
"""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.test import Client

from feedback.models import Deployment, Membership, ModelVersion, Project, Prompt, Split
from feedback.rules.platform.scopes import SCOPES
from workers.demo import world
from workers.demo.client import Refused, Service, Unreachable
from workers.demo.loop import claims, gold
from workers.demo.loop.local_service import ROOT, LocalService, NotReady, free_port
from workers.demo.loop.page import page
from workers.demo.loop.story import LoopFailed, LoopPlan, Story
from workers.demo.loop.traffic import Traffic
from workers.demo.simulation import Collection, Faults, Worker
from workers.demo.snapshots import file_sha256
from workers.demo_commands import seed_demo, simulate

PASSED_ON = ("rounds", "labels", "budget", "traffic")
FAULTS = Faults(spammers=1, inverters=1)
ANNOTATORS = 8
BAD = (7, 8)  # the faulty ones come last in a crowd


class Command(BaseCommand):
    help = "Proves that rounds of collecting, training and comparing make what serves better, unattended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
        parser.add_argument("--processes", type=int, default=2, help="seeds side by side")
        parser.add_argument("--folder", type=Path, default=Path(settings.DATA_DIR) / "prove-loop")
        parser.add_argument("--rounds", type=int, default=4, help="that must be decided")
        parser.add_argument("--labels", type=int, default=1500, help="of each round, before it trains")
        parser.add_argument("--budget", type=int, default=8000, help="annotations in all, votes included")
        parser.add_argument("--traffic", type=float, default=60, help="prompts of customers a minute")
        parser.add_argument("--one", type=int, help="run this seed in DATA_DIR; used by the command itself")

    def handle(self, **options: Any) -> None:
        if options["one"] is not None:
            signal.signal(signal.SIGTERM, _interrupt)  # whoever ends it ends its service, too
            self._one(options)
            return
        folder: Path = options["folder"].resolve()
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with ThreadPoolExecutor(max_workers=options["processes"]) as pool:
            seeds = list(pool.map(lambda seed: self._start(folder, seed, options), options["seeds"]))
        seconds = round(time.monotonic() - began, 1)
        report = {"seeds": seeds, "wall_seconds": seconds, "options": {name: options[name] for name in PASSED_ON}}
        (folder / "report.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
        (folder / "report.html").write_text(page(report), encoding="utf-8")
        failures = []
        for one in seeds:
            for claim in claims.claims(one):
                mark = "holds" if claim.holds else "FAILS"
                self.stdout.write(f"seed {one['seed']}  {mark}  {claim.sentence}: {claim.value}")
                if not claim.holds:
                    failures.append(f"Seed {one['seed']}: {claim.sentence}; it is {claim.value}.")
        self.stdout.write(f"{seconds / 60:.1f} minutes. {folder}/report.html")
        if seconds > 60 * claims.MINUTES:
            failures.append(f"It took {seconds / 60:.0f} minutes; it may take {claims.MINUTES:.0f}.")
        if failures:
            raise CommandError("\n".join(failures))

    def _start(self, folder: Path, seed: int, options: dict[str, Any]) -> dict[str, Any]:
        """A seed in a process of its own, whose settings name its folder and its port."""
        own = folder / f"seed-{seed}"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
        environment |= {"DATA_DIR": str(own), "PORT": str(free_port())}
        command = [sys.executable, "manage.py", "prove_loop", "--one", str(seed)]
        for name in PASSED_ON:
            command += [f"--{name}", str(options[name])]
        subprocess.run(command, cwd=ROOT, env=environment, check=False)
        try:
            found: dict[str, Any] = json.loads((own / "seed.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"seed": seed, "error": "It ended without a report."}
        return found

    def _one(self, options: dict[str, Any]) -> None:
        seed: int = options["one"]
        self.seed, self.began = seed, time.monotonic()
        service = LocalService(Path(settings.DATA_DIR), settings.PORT)
        report: dict[str, Any] = {"seed": seed}
        try:
            service.start()
            call_command("seed_demo", seed=seed, wide=True)
            story = self._story(service, options)
            try:
                story.run()
            except (LoopFailed, Refused, Unreachable) as error:
                report["error"] = str(error)
                raise CommandError(str(error)) from error
            finally:
                report |= story.report
                report["planted"] = {name: vars(one) for name, one in story.planted.items()}
                report["cpu_seconds"] = service.cpu_seconds()
                report |= self._looked_up(story)
        except KeyboardInterrupt:
            report["error"] = "It was ended before it was over."
            raise
        except NotReady as error:
            report["error"] = "The service did not start."
            raise CommandError(f"The service did not start.\n{error}") from error
        finally:
            service.stop()
            (Path(settings.DATA_DIR) / "seed.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
        report["gold"] = self._gold()
        for one in report["planted"].values():
            one["identical"] = _weights(one["model"]) == _weights(one["of"])
        (Path(settings.DATA_DIR) / "seed.json").write_text(json.dumps(report, indent=1), encoding="utf-8")

    def _story(self, service: LocalService, options: dict[str, Any]) -> Story:
        project = Project.objects.get(slug=seed_demo.SLUG)
        crowd = FAULTS.crowd(ANNOTATORS, self.seed)
        keys = []
        for number in range(1, ANNOTATORS + 1):
            keys.append(simulate.new_token(simulate.person(project, number), project, ["read", "annotate"])[1])
        admins = Membership.objects.filter(project=project, role=Membership.Role.ADMIN)
        self.admin = admins.select_related("person")[0].person

        def come(collection: Collection) -> list[Worker]:
            return [
                Worker(annotator, Service(service.url, key), project.slug, collection, idle=7200)
                for annotator, key in zip(crowd, keys, strict=True)
            ]

        client = Service(service.url, simulate.customers_token(project)[1])
        plan = LoopPlan(
            project=project.slug,
            seed=self.seed,
            rounds=options["rounds"],
            labels=options["labels"],
            budget=options["budget"],
        )
        return Story(
            plan=plan,
            admin=Service(service.url, simulate.new_token(self.admin, project, list(SCOPES))[1]),
            people=come,
            customers=Traffic(client, project.slug, options["traffic"], self.seed),
            say=self._say,
        )

    def _looked_up(self, story: Story) -> dict[str, Any]:
        """What the service tells afterwards: who stands out, every comparison, what served, and what its pages say."""
        admin, project = story.admin, story.plan.project
        contests = [admin.get(f"contests/{one['id']}/") for one in admin.pages("contests/", project=project)]
        policies = list(admin.pages("models/", project=project, kind="policy"))
        versions = [{"id": one["id"], "short": f"v{one['number']}", "stage": one["stage"]} for one in policies]
        served = []
        for row in Deployment.objects.filter(project__slug=project).select_related("model_version").order_by("pk"):
            served.append({"name": f"v{row.model_version.number}", "since": str(row.since), "note": row.note})
        return {
            "contests": contests,
            "quality": admin.get("quality/", project=project),
            "versions": versions,
            "served": served,
            "bad_annotators": [f"Simulated {number}" for number in BAD],
            "explained": self._explained(story.report.get("campaign", {}), contests),
        }

    def _explained(self, campaign: dict[str, Any], contests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each decision with its sentence, and whether the page that a person would open shows it."""
        client = Client(HTTP_HOST="localhost")
        client.force_login(self.admin)
        start = f"/p/{seed_demo.SLUG}"
        told = []
        shown = _text(client.get(f"{start}/campaigns/{campaign['id']}/")) if campaign else ""
        for one in campaign.get("rounds", []):
            if one["state"] in ("decided", "failed"):
                sentence = one["reason"] or one["decision"]
                on_page = sentence.casefold() in shown.casefold()
                told.append({"what": f"round {one['number']}", "sentence": sentence, "on_page": on_page})
        for one in contests:
            sentence = one["figures"]["standings"][0]["sentence"]
            on_page = sentence in _text(client.get(f"{start}/contests/{one['id']}/"))
            told.append({"what": f"comparison {one['id']}", "sentence": sentence, "on_page": on_page})
        return told

    def _gold(self) -> dict[str, gold.Worth]:
        """Of every policy, from the files of the service that has stopped."""
        data = Path(settings.DATA_DIR)
        policies = ModelVersion.objects.filter(kind=ModelVersion.Kind.POLICY).exclude(stage="pretrain").order_by("pk")
        versions = {f"v{version.number}": data / version.path for version in policies}
        narrow = {prompt.text for prompt in world.prompts()}
        held_out = Prompt.objects.filter(source=seed_demo.WORLD).exclude(split=Split.TRAIN)
        asked = [prompt.text for prompt in held_out if prompt.text in narrow]
        return gold.measured(data / "gold", self.seed, versions, asked)

    def _say(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.began), 60)
        self.stderr.write(f"seed {self.seed}  {minutes:02}:{seconds:02}  {text}")
        self.stderr.flush()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _text(reply: Any) -> str:
    """What a page shows, without its tags and with single spaces."""
    if reply.status_code != 200:
        return ""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", reply.content.decode())).split())


def _weights(model: str) -> str:
    """The hash of a version's weights."""
    version = ModelVersion.objects.get(public_id=model)
    return file_sha256(Path(settings.DATA_DIR) / version.path / "model.safetensors")
