"""How long an annotator's hand waits: from the key press to the frame with the next task, measured by the page itself.

    python -m tests.bench.desk [tasks]

A real gunicorn on a data folder of its own, real Chromium, `tasks` (50) of each kind at a reader's pace, so that the
next task has come, and once more as fast as keys can be pressed. Processor seconds are printed beside, since the
milliseconds depend on what else the machine does.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FOLDER = tempfile.mkdtemp(prefix="touchstone-desk-")
os.environ["DATA_DIR"] = FOLDER
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "feedback.settings")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright runs an event loop in this thread
PASSWORD = "a-long-password-for-benches"
SAYS: dict[str, list[str]] = {
    "comparison": ["2", "Enter"],
    "ranking": ["2", "1", "=", "3", "4", "Enter"],
    "spans": ["ArrowRight", "Shift+ArrowRight", "n", "Enter"],
}
MEASURED = "performance.getEntriesByName('key-to-next-task').map(one => [one.duration, one.detail.prefetched])"


def furnish(kinds: list[str], count: int) -> None:
    import django

    django.setup()
    from django.core.management import call_command

    from feedback import celery_app
    from feedback.models import Membership, Person
    from feedback.services.platform import projects
    from tests.kinds import make_kind

    call_command("migrate", verbosity=0)
    celery_app.app.send_task = lambda *args, **options: None
    by = Person.objects.create_superuser("bench", PASSWORD)
    for kind in kinds:
        project = projects.open_project(by=by, name=kind.title(), slug=f"bench-{kind}")
        project.state, project.kinds = project.State.OPEN, [kind]
        project.save()
        Membership.objects.get_or_create(project=project, person=by, defaults={"role": "admin"})
        for _ in range(2 * count + 4):
            make_kind(project, kind, scheme="names" if kind == "spans" else "")


def judge(page: Any, keys: list[str]) -> None:
    present = page.get_attribute("#desk [data-card]", "data-id")
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_function("id => document.querySelector('#desk [data-card]')?.dataset.id !== id", arg=present)


def told(entries: list[tuple[float, bool]]) -> dict[str, Any]:
    times = sorted(duration for duration, _ in entries)
    return {
        "tasks": len(times),
        "prefetched": sum(prefetched for _, prefetched in entries),
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[int(0.95 * (len(times) - 1))], 1),
        "longest_ms": round(times[-1], 1),
    }


def measure(count: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    from tests.servers import answers
    from tests.whole_service import free_port, wait_until

    furnish(list(SAYS), count)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "python:feedback.runtime.gunicorn_config", "--bind"]
    with (Path(FOLDER) / "web.log").open("wb") as log:
        server = subprocess.Popen([*command, f"127.0.0.1:{port}"], env=os.environ.copy(), stdout=log, stderr=log)
    url, found = f"http://127.0.0.1:{port}", shutil.which("chromium") or os.environ.get("CHROMIUM")
    report: dict[str, Any] = {}
    try:
        wait_until(lambda: answers(port), 60, "the service's first answer")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1280, "height": 800}, locale="en-US")
            page.goto(f"{url}/sign-in/")
            page.locator("#id_username").fill("bench")
            page.locator("#id_password").fill(PASSWORD)
            page.keyboard.press("Enter")
            page.wait_for_url(lambda address: "sign-in" not in address)
            for kind, keys in SAYS.items():
                for pace in ("reading", "as fast as keys go"):
                    page.goto(f"{url}/p/bench-{kind}/desk/")
                    page.wait_for_selector("html[data-desk-ready]")
                    begun = time.monotonic()
                    for _ in range(count):
                        judge(page, keys)
                        if pace == "reading":
                            page.wait_for_load_state("networkidle")
                            page.wait_for_timeout(300)
                    page.wait_for_timeout(500)
                    figures = told(page.evaluate(MEASURED))
                    report[f"{kind}, {pace}"] = figures | {"seconds": round(time.monotonic() - begun, 1)}
            browser.close()
    finally:
        server.terminate()
        server.wait(10)
    return report


if __name__ == "__main__":
    try:
        print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 50), indent=2))
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
