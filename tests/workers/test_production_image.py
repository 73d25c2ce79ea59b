"""What the production image holds: the service and its workers, without the demo world."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def left_out() -> set[str]:
    return set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree that `COPY` lines of the Dockerfile would bring, by links; folders left out are absent."""
    folder = tmp_path_factory.mktemp("image")
    for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines():
        if not line.startswith("COPY"):
            continue
        for name in line.split()[1:-1]:
            source = ROOT / name
            if name == "workers":
                ignored = [Path(path).name for path in left_out() if path.startswith("workers/")]
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", *ignored))
            elif source.is_dir():
                (folder / name).symlink_to(source)
            else:  # a copy: Python takes the folder of what a link points to for that of the program
                shutil.copy(source, folder / name)
    return folder


def run(image: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DATA_DIR": str(image / "data"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=image,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_demo_world_is_left_out(image: Path) -> None:
    assert {"workers/demo", "workers/demo_commands"} <= left_out()
    assert not (image / "workers" / "demo").exists() and not (image / "workers" / "demo_commands").exists()
    assert (image / "workers" / "handlers").is_dir()


@pytest.mark.parametrize(
    "command", [["seed_demo"], ["simulate", "--turn", "--annotators", "3"], ["prove", "--seeds", "0"]]
)
def test_a_command_of_the_demo_says_that_it_is_absent(image: Path, command: list[str]) -> None:
    done = run(image, "manage.py", *command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().endswith(
        "The demo world is not installed here: the production image leaves it out. Run this command in a source tree."
    )
    assert "Traceback" not in done.stderr


def test_workers_run_without_it_and_a_job_for_its_corpus_fails_with_a_sentence(image: Path) -> None:
    """Every handler can be imported; the job names what is missing and what to do instead."""
    program = """
import django; django.setup()
from workers.execution import HANDLERS
from workers.handlers import corpora
from workers.job_context import JobFailed
from feedback.models import Job, Project
try:
    corpora.demo(Job(project=Project()))
except JobFailed as error:
    print(len(HANDLERS) > 5, error.kind, error.sentence, error.remedy)
"""
    environment_code = "import os; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'feedback.settings')"
    done = run(image, "-c", environment_code + program)
    assert done.stdout.strip() == (
        "True config The demo corpus is not part of this installation. Upload documents on the corpora page."
    ), done.stderr
