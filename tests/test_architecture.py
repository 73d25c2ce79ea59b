"""The arrows drawn in the READMEs hold in the code: imports go down only, relative ones too."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TORCH = {"torch", "transformers", "trl", "datasets", "peft", "accelerate"}

FORBIDDEN = {
    "feedback": TORCH | {"trainer", "workers"},
    "trainer": {"django", "rest_framework", "celery", "feedback", "workers"},
    "workers/demo": TORCH | {"django", "celery", "feedback", "trainer", "rest_framework"},
    "feedback/rules": {
        "django",
        "rest_framework",
        "celery",
        "feedback.models",
        "feedback.services",
        "feedback.selectors",
    },
    "feedback/formats": {"django", "rest_framework", "celery", "feedback.models", "feedback.services"},
    "feedback/models": {"feedback.services", "feedback.selectors", "feedback.api", "feedback.web"},
    "feedback/selectors": {"feedback.api", "feedback.web"},
    "feedback/services": {"feedback.api", "feedback.web"},
    "feedback/api": {"feedback.web"},
}

# Modules that are one thing and longer than 450 lines, with the reason.
LONG: dict[str, str] = {}


def imports(path: Path) -> set[str]:
    """Full names of everything that the module imports, relative imports resolved, function-level ones included."""
    package = path.relative_to(ROOT).with_suffix("").parts
    if package[-1] == "__init__":
        package = package[:-1]
        parent = package
    else:
        parent = package[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = parent[: len(parent) - node.level + 1] if node.level else ()
            name = ".".join([*base, node.module] if node.module else base)
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def modules(room: str) -> list[Path]:
    return [path for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_imports_nothing_from_behind_its_wall(room: str) -> None:
    found = {
        (str(path.relative_to(ROOT)), name)
        for path in modules(room)
        for name in imports(path)
        if any(name == wall or name.startswith(wall + ".") for wall in FORBIDDEN[room])
    }
    assert found == set()


def test_a_planted_import_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    (tmp_path / "feedback").mkdir()
    planted = tmp_path / "feedback" / "planted.py"
    planted.write_text("from ..trainer import sft\n\ndef late():\n    import torch.nn\n")
    assert {"torch.nn"} <= imports(planted)
    planted.write_text("from .models import Task\n")
    assert imports(planted) == {"feedback.models", "feedback.models.Task"}


@pytest.mark.parametrize("module", ["feedback.wsgi", "workers.celery"])
def test_torch_is_not_loaded_by_django_or_a_starting_worker(module: str, tmp_path: Path) -> None:
    code = f"import sys; import {module}; print(sorted({{'torch', 'transformers', 'trl'}} & set(sys.modules)))"
    ran = subprocess.run(
        [sys.executable, "-c", f"import os; os.environ['DATA_DIR'] = {str(tmp_path)!r}; {code}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=600,
        check=False,
    )
    assert ran.stdout.strip() == "[]", ran.stderr


def test_no_module_is_two_rooms_in_one() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for room in ("feedback", "trainer", "workers")
        for path in modules(room)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert set(long) <= set(LONG), long
