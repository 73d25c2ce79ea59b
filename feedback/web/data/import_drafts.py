"""The import wizard: what a file's columns are, what it would become, and its import."""

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, NotFound
from feedback.formats.annotations.item_kinds import label_of
from feedback.formats.annotations.items import PROMPT, THUMB, Defaults, InvalidRow, Item
from feedback.formats.catalog import ALL, FORMATS, TABLE
from feedback.formats.tables import fields, guesses, layout, mapped_rows, words
from feedback.formats.tables.mapping import Mapping
from feedback.models import ImportDraft, Job, Project
from feedback.rules.collection import label_schemes
from feedback.rules.collection.kinds.registry import ALL as KINDS
from feedback.rules.collection.kinds.registry import WITH_SCHEME
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import desk_previews
from feedback.selectors.platform import health
from feedback.selectors.platform.access import ADMIN
from feedback.services.data import import_drafts, imports
from feedback.services.data.import_sources import Inspection
from feedback.web.collection import task_cards
from feedback.web.htmx import page_or_partial
from feedback.web.pages import Context, person, project_page

PREVIEW_ROWS = 20
CELL_CHARACTERS = 160
PROBLEMS = 30  # lines that can be repaired on the page at once
MOST_WORDS = 12  # different words of a column that the page asks about
OUTCOMES = (("", "as it says"), ("a", "A"), ("b", "B"), (words.TIE, "tie"), (words.BOTH_BAD, "both bad"))
THUMBS = (("", "as it says"), ("yes", "good"), ("no", "bad"))


@dataclass
class Column:
    """A column of the preview: its select, and why it is what it is."""

    place: int
    name: str
    chosen: str
    reason: str
    cells: list[str] = field(default_factory=list)


@dataclass
class Word:
    """A word of the file whose meaning can be chosen."""

    key: str
    word: str
    meaning: str
    choices: list[tuple[str, str]]


def draft_of(project: Project, draft_id: UUID) -> ImportDraft:
    """
    Raises:
        NotFound: the project has no such draft.
    """
    found = ImportDraft.objects.filter(project=project, public_id=draft_id).select_related("project", "trial", "job")
    draft = found.first()
    if draft is None:
        raise NotFound
    return draft


@project_page(ADMIN)
def import_draft(request: HttpRequest, project: Project, draft_id: UUID) -> HttpResponse:
    """Step 2: the first rows, and what each column is."""
    draft = draft_of(project, draft_id)
    if draft.job is not None:
        return redirect("import", project.slug, draft.job.public_id)
    error = ""
    if request.method == "POST":
        try:
            if request.POST.get("action") == "read":
                import_drafts.read_as(
                    draft,
                    container=request.POST.get("container", ""),
                    encoding=request.POST.get("encoding", ""),
                    delimiter=request.POST.get("delimiter", ","),
                    header=request.POST.get("header") == "yes",
                )
                return redirect("import_draft", project.slug, draft.public_id)
            given = mapping_from(request, draft)
            import_drafts.save(
                draft,
                by=person(request),
                format=request.POST.get("format", TABLE),
                mapping=given,
                source=request.POST.get("source", "").strip(),
                annotator=request.POST.get("annotator", "").strip(),
            )
            return redirect("import_check", project.slug, draft.public_id)
        except DomainError as problem:
            error = problem.sentence
            draft.refresh_from_db()
            if request.POST.get("action") != "read":
                draft.mapping, draft.format = given, request.POST.get("format", TABLE)
    status = 400 if error else 200
    return page_or_partial(request, "data/import_draft", _second_step(draft, error), status)


def mapping_from(request: HttpRequest, draft: ImportDraft) -> JsonObject:
    """The mapping that the form of the second step describes."""
    post = request.POST
    columns = {}
    for place, column in enumerate(draft.layout.get("columns", [])):
        columns[column] = post.get(f"column-{place}", draft.mapping.get("columns", {}).get(column, fields.METADATA))
    values: dict[str, dict[str, str]] = {}
    for name in fields.WITH_VALUES:
        for key in post:
            prefix = f"value-{name}-"
            if key.startswith(prefix) and post[key]:
                values.setdefault(name, {})[key.removeprefix(prefix)] = post[key]
    return {
        "columns": columns,
        "kind": post.get("kind", ""),
        "scheme": post.get("scheme", ""),
        "values": values,
        "gold": post.get("gold") == "yes",
    }


def _second_step(draft: ImportDraft, error: str) -> Context:
    seen = import_drafts.look(draft)
    project = draft.project
    guess = import_drafts.guess_of(draft, seen)
    made, reasons = guess.mapping, guess.reasons
    columns = []
    for place, name in enumerate(seen.layout.columns):
        cells = [_short(import_drafts.as_text(row.get(name))) for row in seen.values[:PREVIEW_ROWS]]
        columns.append(Column(place, name, made.columns.get(name, fields.IGNORE), reasons.get(name, ""), cells))
    kind = made.resolved_kind()
    schemes = label_schemes.names_of_kind(project.label_scheme, kind)
    return {
        "project": project,
        "draft": draft,
        "error": error,
        "layout": seen.layout,
        "encoding": layout.ENCODINGS.get(seen.layout.encoding, seen.layout.encoding),
        "columns": columns,
        "rows": list(zip(*[column.cells for column in columns], strict=True)) if columns else [],
        "groups": list(fields.in_groups(project.dimensions)),
        "kinds": KINDS,
        "mapping": made,
        "becomes": label_of(kind),
        "takes_scheme": kind in WITH_SCHEME,
        "schemes": schemes,
        "new_scheme": import_drafts.NEW_SCHEME,
        "words": _words(project, made, seen),
        "table": TABLE,
        "formats": [one for one in ALL if one.read],
        "native": draft.format != TABLE,
        "remembered": import_drafts.remembered(draft),
        "containers": layout.CONTAINERS.items(),
        "encodings": layout.ENCODINGS.items(),
        "delimiters": layout.DELIMITERS.items(),
        "example": _example(project, draft, made, seen),
        "step": 2,
    }


def _words(project: Project, made: Mapping, seen: Inspection) -> list[Word]:
    """Words of the first rows whose meaning is chosen, or is not known by itself."""
    found = []
    scheme = project.label_scheme.get(made.scheme, {})
    facts = words.facts_of(scheme, project.dimensions)
    labels = [("", "as it says"), *((name, name) for name in dict.fromkeys(facts.labels.values()))]
    for name, choices, known in (
        (fields.CHOICE, list(OUTCOMES), words.CHOICES.keys()),
        (fields.LABEL, labels, facts.labels.keys()),
        (fields.THUMB, list(THUMBS), {*words.YES, *words.NO}),
    ):
        column = made.column_of(name)
        if column is None or (name == fields.LABEL and not scheme):
            continue
        listed = (
            guesses.label_words(made, seen.values) if name == fields.LABEL else guesses.distinct(column, seen.values)
        )
        own = {words.normal(word): meaning for word, meaning in made.values.get(name, {}).items()}
        if len(listed) > MOST_WORDS:
            listed = [word for word in listed if words.normal(word) not in known]
        for word in listed[:MOST_WORDS]:
            if words.normal(word) in own or words.normal(word) not in known:
                meaning = own.get(words.normal(word), "")
                found.append(Word(f"value-{name}-{word}", word, meaning, choices))
    return found


def _example(project: Project, draft: ImportDraft, made: Mapping, seen: Inspection) -> Item | None:
    """The first row that can be read, as an item."""
    if draft.format == TABLE:
        scheme = project.label_scheme.get(made.scheme, {})
        read = mapped_rows.reader(made, words.facts_of(scheme, project.dimensions))
    else:
        form = FORMATS[draft.format]
        if form.read is None:
            return None
        read = form.read
    for record in seen.rows:
        if not isinstance(record.value, dict):
            continue
        row = record.value | draft.repairs.get(str(record.line), {})
        try:
            for item in read(row, Defaults()):
                if isinstance(item, Item):
                    return item
        except (InvalidRow, ValueError, TypeError, KeyError, AttributeError):
            continue
    return None


def example_card(request: HttpRequest, project: Project, item: Item | None) -> SafeString | None:
    """The example as the desk will show it; None for a row that becomes no task."""
    if item is None:
        return None
    item = item.tasks[0] if item.tasks else item
    if item.kind in (PROMPT, THUMB):
        return None
    seen = desk_previews.preview(project, item.kind, item.prompt, item.texts, item.ask)
    return task_cards.preview(request, seen)


@project_page(ADMIN)
def import_check(request: HttpRequest, project: Project, draft_id: UUID) -> HttpResponse:
    """Step 3: what the file becomes, by a dry run, with one example and what is wrong by line."""
    draft = draft_of(project, draft_id)
    if draft.job is not None:
        return redirect("import", project.slug, draft.job.public_id)
    if draft.trial is None:
        return redirect("import_draft", project.slug, draft.public_id)
    seen = import_drafts.look(draft)
    made = Mapping(**draft.mapping)
    trial = draft.trial
    item = _example(project, draft, made, seen)
    kinds = [(label_of(kind), count) for kind, count in trial.result.get("kinds", {}).items()]
    problems = _problems(trial, draft)
    return page_or_partial(
        request,
        "data/import_check",
        {
            "project": project,
            "draft": draft,
            "job": trial,
            "life": health.life(trial),
            "kinds": kinds,
            "card": example_card(request, project, item),
            "item": item,
            "problems": problems,
            "by_reason": Counter(problem["error"] for problem in problems).most_common(5),
            "more": max(0, trial.result.get("rejected", 0) - len(problems)),
            "step": 3,
        },
    )


def _problems(trial: Job, draft: ImportDraft) -> list[JsonObject]:
    """Rejected lines, each with the cell to repair."""
    if not trial.is_final or not trial.result.get("rejected"):
        return []
    found = []
    with imports.rejected_file(trial).open(encoding="utf-8") as lines:
        for line in islice(lines, PROBLEMS):
            row = json.loads(line)
            cells = row.get("cells") or {}
            column = _column_of(row["field"], draft)
            row["text"] = _short(row["text"])
            row["column"] = column
            row["cell"] = import_drafts.as_text(cells.get(column)) if column else ""
            found.append(row)
    return found


def _column_of(field_name: str, draft: ImportDraft) -> str:
    """The column that a fault's field is about: its own name, or the column that has this field."""
    columns: dict[str, str] = draft.mapping.get("columns", {}) if draft.format == TABLE else {}
    base = field_name.split("[")[0].split(".")[0]
    if base in columns:
        return base
    if field_name in columns:
        return field_name
    names = {"answers": fields.ANSWERS, "gold": fields.ANSWERS, "ask": (fields.LABEL,), "responses": (
        fields.RESPONSES, *fields.RESPONSE_OF, fields.CHOSEN)}.get(base, (base,))  # fmt: skip
    for name in names:
        for column, given in columns.items():
            if given == name:
                return column
    return ""


@require_POST
@project_page(ADMIN)
def import_repair(request: HttpRequest, project: Project, draft_id: UUID) -> HttpResponse:
    """Take over the repaired cells, and check the file again."""
    draft = draft_of(project, draft_id)
    repairs: dict[str, dict[str, str]] = {}
    for key, cell in request.POST.items():
        if key.startswith("cell-"):
            line, _, column = key.removeprefix("cell-").partition("-")
            if cell != request.POST.get(f"was-{line}"):
                repairs.setdefault(line, {})[column] = str(cell)
    if repairs:
        import_drafts.repair(draft, by=person(request), repairs=repairs)
        count = len(repairs)
        messages.success(request, f"{count} line{'s' if count != 1 else ''} repaired; the file is checked again.")
    return redirect("import_check", project.slug, draft.public_id)


@require_POST
@project_page(ADMIN)
def import_start(request: HttpRequest, project: Project, draft_id: UUID) -> HttpResponse:
    job = import_drafts.start(draft_of(project, draft_id), by=person(request))
    return redirect("import", project.slug, job.public_id)


@require_POST
@project_page(ADMIN)
def import_discard(request: HttpRequest, project: Project, draft_id: UUID) -> HttpResponse:
    draft = draft_of(project, draft_id)
    import_drafts.discard(draft, by=person(request))
    messages.success(request, f"{draft.name} was removed. Nothing of it was imported.")
    return redirect("imports", project.slug)


def _short(text: str) -> str:
    return text if len(text) <= CELL_CHARACTERS else f"{text[:CELL_CHARACTERS]}…"
