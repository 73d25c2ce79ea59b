"""The desk's scripts, run by Node on the pages that the service renders: differences, spans, ranking, outbox."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from feedback.models import Person, Project
from tests.factories import take
from tests.kinds import make_kind

ROOT = Path(__file__).resolve().parent.parent.parent
NODE = Path(sys.executable).parent / "node"


@pytest.fixture
def cards(project: Project, ben: Person, signed_in: Any, tmp_path: Path) -> Path:
    """A folder with the desk's page for each kind of task that has a test in `tests/collection/javascript`."""
    for kind, scheme in {"spans": "names", "ranking": ""}.items():
        task = make_kind(project, kind, scheme=scheme)
        take(project, ben)
        page = signed_in(ben).get(f"/p/{project.slug}/desk/").content.decode()
        assert f'data-kind="{kind}"' in page
        (tmp_path / f"{kind}.html").write_text(page, encoding="utf-8")
        task.delete()
    return tmp_path


@pytest.mark.django_db
def test_scripts_of_the_desk(cards: Path) -> None:
    """Each test in `tests/collection/javascript` passes; a failure shows the report of Node's test runner."""
    if not (ROOT / "node_modules" / "jsdom").is_dir():
        pytest.fail("The npm packages are missing. Run `make node_modules/.stamp`.")
    files = sorted(
        str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "collection" / "javascript").glob("*.test.js")
    )
    ran = subprocess.run(
        [NODE if NODE.exists() else shutil.which("node") or "node", "--test", "--test-force-exit", *files],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
        env=os.environ | {"CARDS": str(cards)},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "# fail 0" in ran.stdout or "ℹ fail 0" in ran.stdout
