"""Whether the rows and texts that stages learn from exist, and what to say where they do not."""

from collections.abc import Iterable, Iterator

from django.db.models import Q, QuerySet

from feedback.errors import DomainError, Invalid, NothingToTrainOn, SnapshotTooSmall
from feedback.models import Annotation, Corpus, DatasetSnapshot, Document, PreferencePair, Project, Prompt, Split, Thumb
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.label_schemes import names_of_kind
from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.stages import CORPUS, LABELED, ON_TEXTS, STAGES
from feedback.selectors.data import training_queries
from feedback.selectors.training.stage_models import settings_of

LABELED_TEXTS = tuple(name for name, kind in KINDS.items() if kind.training_texts)  # kinds that label a text


def texts_from(project: Project, wanted: str, corpus: Corpus | None) -> str:
    """Where stages that read texts take them from: as requested, else a corpus, else the texts under labels."""
    if corpus is not None:
        return CORPUS
    if wanted:
        return wanted
    return CORPUS if _holds_documents(project) else LABELED


def corpus_problems(stages: Iterable[str], corpus: Corpus | None, texts: str) -> Iterator[DomainError]:
    """A corpus that is named must be one that some stage reads."""
    if corpus is None:
        return
    if texts == LABELED:
        yield Invalid("Texts come from a corpus or from labeled texts; name one of the two.", field="corpus")
    elif not ON_TEXTS & set(stages):
        yield Invalid(f"None of these stages reads a corpus; {', '.join(sorted(ON_TEXTS))} do.", field="corpus")
    elif not Document.objects.standing().filter(corpus=corpus).exists():
        yield NothingToTrainOn(f"The corpus {corpus.name!r} has no documents. Add some, or choose another corpus.")


def text_problems(project: Project, stages: Iterable[str], texts: str) -> Iterator[DomainError]:
    """Stages that read texts need some."""
    if not ON_TEXTS & set(stages):
        return
    if texts == CORPUS and not _holds_documents(project):
        yield NothingToTrainOn("This project has no corpus. Add documents before training a tokenizer or a base model.")
    if texts == LABELED and not any(_labeled(project, kind).exists() for kind in LABELED_TEXTS):
        yield NothingToTrainOn(
            "This project has no corpus and no labeled texts. Add documents before training a tokenizer or a base "
            "model, or label some texts."
        )


def snapshot_problems(snapshot: DatasetSnapshot, stages: Iterable[str]) -> Iterator[DomainError]:
    """What a frozen snapshot must hold, by its own manifest."""
    counts = snapshot.counts.get("train", {})
    for stage in stages:
        rule = STAGES[stage]
        kinds = (*rule.rows, *rule.rows_otherwise)
        if not rule.checks_rows_before or any(map(counts.get, kinds)):
            continue
        yield SnapshotTooSmall(
            f"Snapshot {snapshot.number} has no {' or '.join(kinds)} rows to train on, which {stage} needs. "
            "Choose another, or freeze a new one."
        )


def row_problems(project: Project, stages: Iterable[str], config: PipelineConfig) -> Iterator[DomainError]:
    """What a snapshot that is frozen now would lack."""
    for stage in stages:
        rule = STAGES[stage]
        if rule.reads_texts or not rule.rows:
            continue
        kind = rule.rows[0]
        if kind == "preference" and _pairs(project)[:2].count() < 2:
            yield SnapshotTooSmall(
                f"{rule.label} needs preference pairs on training prompts, and there are fewer than two. "
                "Annotate some tasks first."
            )
        elif kind == "unpaired" and not _pairs(project).exists() and not _has_unpaired(project):
            yield SnapshotTooSmall(
                f"{rule.label} needs responses rated good or bad: thumbs, ratings or preference pairs on "
                "training prompts. There are none yet."
            )
        elif kind == "prompt" and not _prompts_to_answer(project).exists():
            yield SnapshotTooSmall(
                f"{rule.label} samples responses to training prompts, and there are none. Submit "
                "prompts first; texts for labeling only do not count."
            )
        elif kind in LABELED_TEXTS:
            yield from _label_problems(project, stage, kind, config)


def _label_problems(project: Project, stage: str, kind: str, config: PipelineConfig) -> Iterator[DomainError]:
    field = f"config.{stage}.scheme"
    wanted = settings_of(project, stage, config).get("scheme", "")
    fitting = sorted(names_of_kind(project.label_scheme, kind))
    if wanted and wanted not in fitting:
        known = ", ".join(fitting) or "none"
        yield Invalid(f"The project has no label scheme {wanted!r} of kind {kind}; it has {known}.", field=field)
        return
    labeled = _labeled(project, kind)
    if wanted:
        labeled = labeled.filter(task__ask__scheme=wanted)
    else:
        used = [name for name in fitting if labeled.filter(task__ask__scheme=name).exists()]
        if len(used) > 1:
            example = f'{{"{stage}": {{"scheme": "{used[0]}"}}}}'
            sentence = f"Several label schemes have annotations: {', '.join(used)}. Name the one to learn: {example}."
            yield Invalid(sentence, field=field)
            return
    if labeled[:2].count() < 2:
        label, texts = STAGES[stage].label, KINDS[kind].training_texts
        yield SnapshotTooSmall(
            f"{label} needs {texts} on training prompts, and there are fewer than two. "
            f"Add a label scheme, then annotate or import tasks of kind {kind}."
        )


def _holds_documents(project: Project) -> bool:
    return Document.objects.standing().filter(corpus__project=project).exists()


def _pairs(project: Project) -> QuerySet[PreferencePair]:
    return PreferencePair.objects.standing().filter(project=project, prompt__split=Split.TRAIN)


def _prompts_to_answer(project: Project) -> QuerySet[Prompt]:
    return training_queries.asked_of_models(project, training_queries.Policy()).filter(split=Split.TRAIN)


def _labeled(project: Project, kind: str) -> QuerySet[Annotation]:
    """Current annotations of a kind on training prompts that train (gold tasks and qualification rounds do not)."""
    rows = Annotation.objects.filter(project=project, kind=kind, task__prompt__split=Split.TRAIN)
    rows = rows.filter(task__gold__isnull=True, task__training_round=False)
    return rows.filter(assignment__current__isnull=False)


def _has_unpaired(project: Project) -> bool:
    """Whether some response on a training prompt was found good or bad by itself."""
    if Thumb.objects.filter(response__project=project, response__prompt__split=Split.TRAIN).exists():
        return True
    annotations = Annotation.objects.filter(project=project, task__prompt__split=Split.TRAIN)
    return annotations.filter(Q(kind="rating") | Q(payload__outcome="both_bad")).exists()
