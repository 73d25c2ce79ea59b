"""What the documentation claims and a program can check: tables, names, paths, links, and that the site builds."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from feedback import celery_app, urls
from feedback.errors import DomainError
from feedback.formats.catalog import FORMATS
from feedback.models import (
    Assignment,
    Contest,
    ContestUnit,
    DatasetSnapshot,
    Job,
    Kind,
    ModelVersion,
    Prompt,
    Response,
    Stage,
    Task,
)
from feedback.rules.platform.scopes import SCOPES
from feedback.runtime.version import VERSION, read_version
from tests.write_docs import glossary
from workers.execution import HANDLERS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
SKIPPED = {".venv", "node_modules", "site", "data", ".git", ".github"}
PAGES = sorted(path for path in ROOT.rglob("*.md") if not SKIPPED & set(path.relative_to(ROOT).parts))
ROOMS = {"platform", "collection", "quality", "screening", "data", "training", "evaluation", "registry"}
assert urls  # every view is imported, so that every error of the domain is defined


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str, *head: str) -> list[list[str]]:
    """Cells of the first table whose header is `head`, without the header; backticks stay."""
    lines = iter(text.splitlines())
    wanted = [cell.strip() for cell in head]
    for line in lines:
        if _cells(line) == wanted:
            next(lines)
            found = []
            for row in lines:
                if not row.startswith("|"):
                    break
                found.append(_cells(row))
            return found
    raise AssertionError(f"no table with the header {head}")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def names(cells: list[str]) -> list[str]:
    """What stands in backticks in these cells."""
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def children(parent: type[DomainError]) -> Iterator[type[DomainError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from children(child)


def slug(heading: str) -> str:
    """The anchor that Markdown gives a heading."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", plain)).strip("-")


def test_jobs_are_those_that_workers_carry_out() -> None:
    table = rows(page("jobs.md"), "job", "queue", "ends at the latest", "tried again", "why it may run twice")
    documented = [name for row in table for name in names(row[:1])]
    assert sorted(documented) == sorted(str(kind) for kind in HANDLERS) == sorted(Job.Kind.values)
    assert {row[1] for row in table} <= set(celery_app.QUEUES)
    messages = rows(page("jobs.md"), "message", "sent", "why it may come twice")
    assert {name for row in messages for name in names(row[:1])} == {
        celery_app.RUN_JOB,
        celery_app.SWEEP,
        celery_app.TICK,
    }


def test_formats_are_those_of_the_catalog() -> None:
    formats = FORMATS.values() if isinstance(FORMATS, dict) else FORMATS
    documented = [
        (names(row[:1])[0], row[1], row[2] == "yes", row[3] == "yes")
        for row in rows(page("api.md"), "format", "label", "read", "write")
    ]
    assert documented == [(one.name, one.label, one.read is not None, one.write is not None) for one in formats]


def test_error_codes_are_those_of_the_domain() -> None:
    # Errors that a test defines are not the service's.
    ours = {one for one in children(DomainError) if one.__module__.startswith(("feedback.", "workers."))}
    documented = [(names(row[:1])[0], int(row[1])) for row in rows(page("api.md"), "code", "status", "what to do")]
    assert documented == sorted({(one.code, one.status) for one in ours})


def test_scopes_are_those_of_tokens() -> None:
    assert [names(row[:1])[0] for row in rows(page("api.md"), "scope", "allows")] == list(SCOPES)


def test_settings_are_those_that_are_read() -> None:
    example = dict(re.findall(r"^#([A-Z][A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (?:`([^`]*)`|—) \|", page("operations.md"), re.MULTILINE))
    assert documented == example
    settings = (ROOT / "feedback" / "settings.py").read_text()
    read = set(re.findall(r'env_(?:bool|int|list|secret|str)\("([A-Z_]+)"', settings))
    assert read - set(example) == set(), "a setting that .env.example does not name"


def test_rooms_are_the_folders_of_every_layer() -> None:
    assert {name for row in rows(page("architecture.md"), "room", "holds") for name in names(row[:1])} == ROOMS
    for layer in ("web", "api", "services", "selectors"):
        folders = {path.parent.name for path in (ROOT / "feedback" / layer).glob("*/__init__.py")}
        assert folders <= ROOMS, f"{layer} has a folder that is no room"


def test_states_are_those_of_the_tables() -> None:
    documented = {
        names(row[:1])[0]: [state.strip() for state in row[1].split(",")]
        for row in rows(page("architecture.md"), "table", "states", "moves")
    }
    states = {
        "Prompt": Prompt.State,
        "Response": Response.State,
        "Task": Task.State,
        "Assignment": Assignment.State,
        "Job": Job.Status,
        "DatasetSnapshot": DatasetSnapshot.State,
        "Contest": Contest.State,
        "ContestUnit": ContestUnit.State,
        "ModelVersion": ModelVersion.State,
    }
    assert documented == {name: list(choices.values) for name, choices in states.items()}


def test_task_kinds_are_those_of_the_desk() -> None:
    documented = {row[0] for row in rows(page("annotators.md"), "kind", "what you do")}
    assert documented == set(Kind.values)


def test_stages_are_those_of_the_trainer() -> None:
    documented = {name for row in rows(page("trainer.md"), "stage", "inputs", "makes") for name in names(row[:1])}
    assert documented == set(Stage.values) | {"generate", "score"}


def test_keys_of_a_comparison_are_those_of_the_desk() -> None:
    project = {"dimensions": ["one", "two", "three"], "asks_reason": True}
    sheet = render_to_string("feedback/collection/desk/_keys_comparison.html", {"project": project})
    shown = set(re.findall(r"<kbd\s*>(\w)</kbd>", sheet))
    table = rows(page("annotators.md"), "key", "means")
    documented = {name for row in table for name in names(row[:1]) if len(name) == 1}
    assert documented == shown - {
        "n",
        "d",
    }  # a reason, which not every project asks for; differences, in the next table
    (desk,) = (ROOT / "feedback" / "static").rglob("desk.js")
    bound = set(re.findall(r'keys\.bind\("(\S)"', desk.read_text())) - {"*"}
    assert {name for row in rows(page("annotators.md"), "key", "does") for name in names(row[:1])} == bound


def test_glossary_is_the_products() -> None:
    assert page("glossary.md") == glossary(), "run python -m tests.write_docs"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        aim = (path.parent / file).resolve() if file else path
        assert aim.exists(), f"{target} leads nowhere"
        if anchor:
            found = {slug(line.lstrip("#")) for line in aim.read_text(encoding="utf-8").splitlines() if line[:1] == "#"}
            assert anchor in found, f"{target} names no heading"
    for name in re.findall(r"`((?:feedback|trainer|workers|tests|docs|\.ci|\.github)/[\w./-]*)`", prose):
        assert (ROOT / name).exists(), f"{name} does not exist"


def test_readmes_fit_one_screen() -> None:
    readmes = [path for path in PAGES if path.name == "README.md"]
    assert [path for path in readmes if len(path.read_text().splitlines()) > 60] == []


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text()
    missing = [path.name for path in DOCS.glob("*.md") if path.name not in navigation]
    assert missing == []


def test_decisions_have_context_decision_and_consequences() -> None:
    records = sorted((DOCS / "adr").glob("0*.md"))
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", page("adr/index.md"))
    assert [path.name for path in records] == listed
    for number, path in enumerate(records, 1):
        text = path.read_text()
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (\w+)", text, re.MULTILINE) == ["Context", "Decision", "Consequences"]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "index.html").exists()


def test_the_changelog_is_the_source_of_the_version() -> None:
    assert read_version("# Changelog\n\n## 2.10.3 (2026-01-01)\n\n## 2.10.2\n") == "2.10.3"
    with pytest.raises(ValueError, match="no heading"):
        read_version("# Changelog\n")
    ran = subprocess.run(
        [sys.executable, "-m", "feedback.runtime.version"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert ran.stdout.strip() == VERSION
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert f"SPDX-License-Identifier: {project['license']}" in (ROOT / "LICENSE").read_text()


def test_make_help_lists_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = " ".join(re.findall(r"^\.PHONY: (.*)$", makefile, re.MULTILINE))
    declared = set(re.findall(r"(?<!\S)[a-z-]+", targets))
    ran = subprocess.run(["make", "help"], capture_output=True, text=True, cwd=ROOT, check=True)
    listed = set(re.findall(r"^  make (\S+)", ran.stdout, re.MULTILINE))
    assert declared - {"python"} == listed  # `python` is a step of the others


def test_npm_packages_come_from_the_configured_registry() -> None:
    """No line of the lock file names a host that packages are fetched from."""
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()


def test_hosted_checks_run_what_a_clean_machine_runs() -> None:
    workflow = (ROOT / ".github" / "workflows" / "check.yml").read_text()
    assert "run: .ci/run" in workflow and "run: make lint docs" in workflow
