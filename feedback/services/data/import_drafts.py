"""The import wizard's steps: a file is stored and looked at, its columns are mapped, a dry run checks it, then it is
imported. Each step can be gone back to; nothing is imported before the last one.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.db import transaction

from feedback.errors import Conflict, Invalid
from feedback.formats import reading
from feedback.formats.catalog import TABLE
from feedback.formats.tables import fields, guesses, layout, source
from feedback.formats.tables import mapping as mappings
from feedback.formats.tables.guesses import Guess
from feedback.models import ImportDraft, Job, Person, Project
from feedback.rules.collection import label_schemes
from feedback.rules.collection.kinds.registry import WITH_SCHEME
from feedback.services.data import import_sources, imports
from feedback.services.data.import_sources import Inspection
from feedback.services.platform import events, projects
from feedback.services.platform.closed_projects import refuse_when_closed

NEW_SCHEME = "+new"
ROWS_FOR_SCHEME = 5000  # rows that a new scheme takes its labels from
CHUNK = 1 << 20


def begin(*, project: Project, by: Person, name: str, chunks: Iterable[bytes]) -> ImportDraft:
    """Store a file and look at it. A file whose columns were imported before is read as it was then.

    Raises:
        Invalid: the file is empty, or nothing can be made of it.
        ProjectClosed: the project takes nothing any more.
    """
    refuse_when_closed(project, "imports")
    with imports.stored(chunks) as (folder, place):
        named = imports.plain_name(name)
        seen = import_sources.inspect(project, place, named)
        signature = signature_of(seen.layout)
        before = ImportDraft.objects.filter(project=project, signature=signature, job__isnull=False).first()
        with transaction.atomic():
            draft = ImportDraft(project=project, created_by=by, folder=folder, name=named, signature=signature)
            _describe(draft, seen)
            if before is not None:
                draft.format, draft.mapping = before.format, before.mapping
                draft.source, draft.annotator = before.source, before.annotator
            draft.save()
            events.record("import.prepared", draft, actor=by, project=project)
    return draft


def signature_of(known: layout.Layout) -> str:
    return hashlib.sha256("\0".join(known.columns).encode()).hexdigest()


def _describe(draft: ImportDraft, seen: Inspection) -> None:
    draft.layout, draft.format = seen.layout.as_json(), seen.format
    draft.mapping = seen.guess.mapping.as_json()


def look(draft: ImportDraft) -> Inspection:
    """The first rows of the file, and what they tell.

    Raises:
        Invalid: the file is gone, or nothing can be made of it.
    """
    if not (_place(draft) / "upload").is_file():
        raise Invalid("The uploaded file was deleted. Upload it again.")
    return import_sources.inspect(draft.project, _place(draft), draft.name, layout.from_json(draft.layout))


def remembered(draft: ImportDraft) -> ImportDraft | None:
    """The import that this one's mapping comes from."""
    earlier = ImportDraft.objects.filter(project=draft.project, signature=draft.signature, job__isnull=False)
    found = earlier.exclude(pk=draft.pk).filter(pk__lt=draft.pk).first()
    return found if found is not None and found.mapping == draft.mapping else None


def read_as(draft: ImportDraft, *, container: str, encoding: str, delimiter: str, header: bool) -> None:
    """Read the file in another way than was guessed, and guess again what its columns are.

    Raises:
        Invalid: it cannot be read so.
    """
    if container not in layout.CONTAINERS:
        raise Invalid("Choose one of the kinds of files.", field="container")
    if encoding not in layout.ENCODINGS or delimiter not in layout.DELIMITERS:
        raise Invalid("Choose one of the encodings and separators.", field="encoding")
    told = layout.Layout(container, encoding, delimiter, header)
    if container == layout.CSV:
        with (_place(draft) / "upload").open("rb") as file:
            text = layout.decoded(file.read(layout.HEAD), encoding)
        told = replace(told, columns=layout.header_as_told(text, delimiter, header))
    seen = import_sources.inspect(draft.project, _place(draft), draft.name, told)
    _describe(draft, seen)
    draft.signature = signature_of(seen.layout)
    draft.save()


def save(
    draft: ImportDraft,
    *,
    by: Person,
    format: str,
    mapping: Mapping[str, object],
    source: str = "",
    annotator: str = "",
) -> Job:
    """Keep what the columns are, and request the dry run. A new scheme is made of the labels in the file.

    Raises:
        Invalid: the mapping does not fit; nothing is changed.
    """
    if format != TABLE and format not in import_sources.IMPORTED:
        raise Invalid("Choose one of the formats.", field="format")
    if format == TABLE:
        told = dict(mapping)
        made = import_sources.parsed_mapping(told)
        if made.resolved_kind() in WITH_SCHEME and made.scheme == NEW_SCHEME:
            made.scheme = _new_scheme(draft, made, by)
        draft.mapping = made.as_json()
    draft.format, draft.source, draft.annotator = format, source, annotator
    return _try_again(draft, by)


def repair(draft: ImportDraft, *, by: Person, repairs: Mapping[str, Mapping[str, str]]) -> Job:
    """Replace cells of single lines, and check the file again.

    Raises:
        Invalid: too many, or another shape.
    """
    kept = {line: dict(cells) for line, cells in draft.repairs.items()}
    for line, cells in repairs.items():
        kept[line] = kept.get(line, {}) | dict(cells)
    draft.repairs = import_sources.checked_repairs(kept)
    return _try_again(draft, by)


def _try_again(draft: ImportDraft, by: Person) -> Job:
    _refuse_when_imported(draft)
    with transaction.atomic():
        draft.trial = _requested(draft, by, dry_run=True)
        if draft.format == TABLE:
            draft.mapping = draft.trial.payload["mapping"]
        draft.save()
    return draft.trial


def start(draft: ImportDraft, *, by: Person) -> Job:
    """Import the file as it was checked. Asked twice, it is imported once.

    Raises:
        Conflict: it was not checked yet.
    """
    if draft.job is not None:
        return draft.job
    if draft.trial is None:
        raise Conflict("Check the file first.")
    with transaction.atomic():
        locked = ImportDraft.objects.select_for_update().get(pk=draft.pk)
        if locked.job is None:
            locked.job = _requested(draft, by, dry_run=False)
            locked.save(update_fields=["job"])
    draft.job = locked.job
    return locked.job


def discard(draft: ImportDraft, *, by: Person) -> None:
    """Remove the file and what was said of it.

    Raises:
        Conflict: it was imported.
    """
    _refuse_when_imported(draft)
    with transaction.atomic():
        events.record("import.discarded", draft, actor=by, project=draft.project)
        draft.delete()
    shutil.rmtree(_place(draft), ignore_errors=True)


def _refuse_when_imported(draft: ImportDraft) -> None:
    if draft.job_id is not None:
        raise Conflict("The file was imported. Upload it again to import it in another way.")


def _requested(draft: ImportDraft, by: Person, dry_run: bool) -> Job:
    return imports.request_import(
        project=draft.project,
        by=by,
        format=draft.format,
        name=draft.name,
        chunks=_chunks(_place(draft) / "upload"),
        source=draft.source,
        annotator=draft.annotator,
        mapping=draft.mapping if draft.format == TABLE else None,
        repairs=draft.repairs,
        dry_run=dry_run,
        told=layout.from_json(draft.layout),
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _place(draft: ImportDraft) -> Path:
    return Path(settings.DATA_DIR) / draft.folder


def _new_scheme(draft: ImportDraft, made: mappings.Mapping, by: Person) -> str:
    """A label scheme of the labels in the file, added to the project. Returns its name."""
    columns = [column for column, name in made.columns.items() if name == fields.LABEL]
    if not columns:
        raise Invalid("A new label scheme needs a column with labels. Choose one, or add the scheme under Settings.")
    found = _labels(draft, made)
    if not 2 <= len(found) <= label_schemes.MOST_LABELS:
        raise Invalid(
            f"The column has {len(found)} different labels; a scheme has 2 to {label_schemes.MOST_LABELS}. "
            "Choose another column.",
            field="mapping.scheme",
        )
    name = plain(columns[0]) if len(columns) == 1 else "labels"
    taken, number = draft.project.label_scheme, 2
    base = name
    while name in taken:
        name, number = f"{base[:36]}-{number}", number + 1
    labels = [{"name": plain(word), "title": word[:60]} for word in found]
    scheme = {"kind": made.resolved_kind(), "many": len(columns) > 1, "labels": labels}
    projects.set_scheme(by=by, project=draft.project, name=name, scheme=scheme)
    draft.project.refresh_from_db(fields=["label_scheme"])
    return name


def _labels(draft: ImportDraft, made: mappings.Mapping) -> list[str]:
    """Labels of the first rows, by their first spelling."""
    prepared = source.prepare(
        _place(draft) / "upload", draft.name, _place(draft), told=layout.from_json(draft.layout), most=ROWS_FOR_SCHEME
    )
    try:
        rows = import_sources.flat_rows(source.sample(prepared, ROWS_FOR_SCHEME))
    except reading.UnreadableFile as error:
        raise Invalid(str(error)) from None
    words = guesses.label_words(made, rows)
    return list({plain(word): word for word in reversed(words)}.values())[::-1]


def plain(word: str) -> str:
    """A word as the name of a label or of a scheme."""
    name = re.sub(r"[^a-z0-9]+", "-", word.strip().lower()).strip("-")[:40]
    return name or "label-" + hashlib.sha256(word.encode()).hexdigest()[:6]


def guess_of(draft: ImportDraft, seen: Inspection) -> Guess:
    """The guess with the mapping of the draft, and reasons only for columns that are as guessed."""
    made = mappings.Mapping(**draft.mapping)
    reasons: dict[str, str] = {}
    before = remembered(draft)
    for column in seen.layout.columns:
        if made.columns.get(column) == seen.guess.mapping.columns.get(column):
            reasons[column] = seen.guess.reasons.get(column, "")
        else:
            reasons[column] = "As in the last import of these columns." if before else "Your choice."
    return Guess(made, reasons)


def as_text(value: object) -> str:
    """A cell as a preview shows it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False)
