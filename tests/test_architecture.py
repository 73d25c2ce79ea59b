"""The map holds in the code: imports go down only, every layer has the same rooms, nothing grows too wide or long."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from feedback.rules.collection.kinds.registry import KINDS

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("feedback", "trainer", "workers")
TORCH = {"torch", "transformers", "trl", "datasets", "peft", "accelerate"}

ABOVE_MODELS = {"feedback.services", "feedback.selectors", "feedback.api", "feedback.web"}
FORBIDDEN = {
    "feedback": TORCH | {"trainer", "workers"},
    "trainer": {"django", "rest_framework", "celery", "feedback", "workers"},
    "workers/demo": TORCH | {"django", "celery", "feedback", "trainer", "rest_framework"},
    "feedback/rules": {"django", "rest_framework", "celery", "feedback.models", "feedback.db", *ABOVE_MODELS},
    "feedback/formats": {"django", "rest_framework", "celery", "feedback.models", "feedback.db", *ABOVE_MODELS},
    "feedback/models": ABOVE_MODELS,
    "feedback/db": ABOVE_MODELS,
    "feedback/selectors": {"feedback.services", "feedback.api", "feedback.web"},
    "feedback/services": {"feedback.api", "feedback.web"},
    "feedback/templatetags": {"feedback.services", "feedback.api", "feedback.web"},
    "feedback/api": {"feedback.web"},
    "feedback/web": {"feedback.api"},
}

ROOMS = {"platform", "collection", "quality", "screening", "data", "training", "evaluation", "registry"}
LAYERS = ("web", "api", "services", "selectors")
# What else has a folder in tests/, since it is of no room.
OTHER_TESTS = {"trainer", "workers", "browser", "bench", "db", "runtime"}
TRAINER = {"recipes", "ppo", "modeling", "losses", "data", "metrics", "run", "configs", "preflight"}
WIDEST = 20  # modules of a folder

# Compiled statements are for what every submit and every request needs; everything else uses the ORM.
COMPILED_QUERIES = {
    "feedback/selectors/platform/access.py",
    "feedback/services/collection/annotations.py",
    "feedback/services/collection/assignment_claim.py",
    "feedback/services/collection/assignment_queries.py",
    "feedback/services/collection/candidate_sources.py",
    "feedback/services/collection/exhausted_candidates.py",
    "feedback/services/collection/task_slots.py",
    "feedback/services/evaluation/contest_votes.py",
    "feedback/services/platform/idempotency.py",
    "feedback/services/platform/tokens.py",
}

# Modules of pages and endpoints whose subject no layer below them has, with the reason.
ENTRY_ONLY = {
    "urls": "paths",
    "docs": "the page of the API's documentation",
    "index": "the root of the API",
    "schema": "the OpenAPI document",
    "account_adapter": "how django-allauth behaves",
    "sign_in": "limits of attempts, counted per request",
    "page_context": "what every page's frame needs",
    "admin_common": "what several admin pages share",
    "pipeline_stages": "texts of the home page",
    "task_cards": "a task as the desk, reviews and gold tasks draw it",
    "transfers": "what imports and exports share",
    "mappings": "fields of an import's request that multipart sends as JSON text",
    "playground_forms": "the playground is a page of model versions",
}
NOT_TABLES = {"base", "sentences"}

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


def beginning_imports(name: str) -> set[str]:
    """Modules that are imported when this one is: not what functions import, nor what is there for types only."""
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
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


def folders(place: str) -> set[str]:
    """Folders below it that hold a source file; what moves away may leave a cache behind."""
    files = [path for kind in ("*.py", "*.html") for path in (ROOT / place).rglob(kind)]
    return {path.relative_to(ROOT / place).parts[0] for path in files if path.parent != ROOT / place}


@pytest.mark.parametrize("layer", [*LAYERS, "templates/feedback"])
def test_every_layer_has_the_same_rooms(layer: str) -> None:
    assert folders(f"feedback/{layer}") == ROOMS


def test_rules_and_tests_have_no_other_rooms() -> None:
    assert folders("feedback/rules") <= ROOMS
    assert folders("tests") == ROOMS | OTHER_TESTS
    assert folders("trainer") >= TRAINER


@pytest.mark.parametrize("layer", ["web", "api"])
def test_each_room_lists_its_own_paths(layer: str) -> None:
    assert {room for room in ROOMS if not (ROOT / "feedback" / layer / room / "urls.py").exists()} == set()


def names_a_kind(node: ast.expr) -> bool:
    """Whether an expression spells a task kind: "ranking", Kind.RANKING, or a tuple that holds one."""
    if isinstance(node, ast.Constant):
        return node.value in KINDS
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return node.value.id == "Kind" and node.attr.isupper()
    return isinstance(node, ast.Tuple | ast.List | ast.Set) and any(map(names_a_kind, node.elts))


def is_a_kind(node: ast.expr) -> bool:
    """Whether an expression holds some task's kind: `kind`, `task.kind`, `row["kind"]`, `scheme.get("kind")`."""
    if isinstance(node, ast.Attribute):
        return node.attr.endswith("kind")
    if isinstance(node, ast.Name):
        return node.id.endswith("kind")
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "kind"
    return isinstance(node, ast.Call) and "kind" in [one.value for one in node.args if isinstance(one, ast.Constant)]


def compared_kinds(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(names_a_kind, sides)) and any(map(is_a_kind, sides)):
                found.append(ast.unparse(node))
    return found


def test_only_a_task_kind_knows_which_kind_it_is() -> None:
    """Everything else reads `KINDS`, so that a kind is added in its own module."""
    own = ROOT / "feedback" / "rules" / "collection" / "kinds"
    found = {
        (str(path.relative_to(ROOT)), comparison)
        for room in ("feedback", "workers")
        for path in modules(room)
        if own not in path.parents
        for comparison in compared_kinds(path.read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    "source",
    [
        'task.kind == "ranking"',
        "kind in (Kind.RATING, Kind.SPANS)",
        'scheme.get("kind") != "spans"',
        'item["kind"] in ["comparison"]',
    ],
)
def test_a_planted_comparison_of_kinds_is_caught(source: str) -> None:
    assert compared_kinds(source) == [source.replace('"', "'")]


def test_a_task_kind_is_named_in_few_files_beside_its_own() -> None:
    command = ["git", "grep", "-lw", "ranking", "--", *TOPS, ":!**/migrations/**"]
    named = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    own = {
        "feedback/rules/collection/kinds/ranking.py",
        "feedback/rules/collection/kinds/registry.py",
        "feedback/static/feedback/kinds/ranking.js",
        "feedback/templates/feedback/collection/desk/_ranking.html",
        "feedback/templates/feedback/collection/desk/_keys_ranking.html",
    }
    assert len(set(named) - own) <= 8, sorted(set(named) - own)


def test_no_folder_is_too_wide() -> None:
    width = Counter(
        str(path.parent.relative_to(ROOT)) for room in TOPS for path in modules(room) if path.name != "__init__.py"
    )
    assert {folder: count for folder, count in width.items() if count > WIDEST} == {}


def test_a_noun_has_one_name_on_all_layers() -> None:
    """`review_pages.py` beside `reviews.py` elsewhere would be two names of one noun; so would `review.py`."""
    for room in ROOMS:
        nouns = {path.stem for layer in LAYERS for path in (ROOT / "feedback" / layer / room).glob("[!_]*.py")}
        twins = {(noun, noun + ending) for noun in nouns for ending in ("s", "ing", "_pages") if noun + ending in nouns}
        assert twins == set(), room


def stems(folder: Path) -> set[str]:
    return {path.stem for path in folder.rglob("[!_]*.py")}


@pytest.mark.parametrize("layer", ["web", "api"])
def test_an_entry_point_is_named_after_what_it_serves(layer: str) -> None:
    """`web/data/imports.py` shows what `services/data/imports.py` does; `prompt_forms.py` belongs to `prompts.py`."""
    feedback = ROOT / "feedback"
    for room in ROOMS:
        here = stems(feedback / layer / room)
        below = {stem for lower in ("services", "selectors", "rules") for stem in stems(feedback / lower / room)}
        forms = {f"{noun.removesuffix('s')}_forms" for noun in here}
        assert here - below - stems(feedback / "models") - forms - ENTRY_ONLY.keys() == set(), room


def test_a_table_is_named_as_on_the_layers_above_it() -> None:
    above = {stem for layer in LAYERS for stem in stems(ROOT / "feedback" / layer)}
    assert stems(ROOT / "feedback" / "models") - above == NOT_TABLES


def test_modules_import_one_another_in_no_circle() -> None:
    known = {".".join(path.relative_to(ROOT).with_suffix("").parts) for top in TOPS for path in modules(top)}
    left = {name: beginning_imports(name) & known - {name} for name in known}
    while ends := {name for name, needs in left.items() if not needs & left.keys()}:
        left = {name: needs for name, needs in left.items() if name not in ends}
    assert left == {}


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
        for room in TOPS
        for path in modules(room)
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert set(long) <= set(LONG), long


def test_pytest_passes_over_no_folder_of_tests(request: pytest.FixtureRequest) -> None:
    """A pattern of folders to pass over fits every folder of that name: "data" once left the tests of a room out."""
    passed_over = set(request.config.getini("norecursedirs"))
    folders = {path.parent.name for path in (ROOT / "tests").rglob("test_*.py") if "bench" not in path.parts}
    assert not folders & passed_over and ROOMS - passed_over == ROOMS


def test_only_frequent_statements_are_compiled() -> None:
    found = {str(path.relative_to(ROOT)) for path in modules("feedback") if uses_compiled_queries(path)}
    assert found == COMPILED_QUERIES


def uses_compiled_queries(path: Path) -> bool:
    return "feedback.db.compiled_queries" in imports(path)
