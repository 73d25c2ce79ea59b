"""Rows of a snapshot, read from the database: training data, split, and source annotations.

Rows of withdrawn people are left out. Read in one pass each, so memory holds what the caller keeps.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby, permutations
from operator import attrgetter, itemgetter
from typing import TypeAlias
from uuid import UUID

from feedback.models import (
    Annotation,
    Corpus,
    Document,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Split,
    Verdict,
)
from feedback.rules.collection.consensus import consensus, majority
from feedback.rules.collection.kinds import rating
from feedback.rules.collection.kinds.question import PROMPT, LabelScheme
from feedback.rules.collection.kinds.registry import KINDS, PAIRWISE, WITH_SCHEME
from feedback.rules.collection.payloads import Payload, preferences_in
from feedback.rules.collection.preferences import STRONG, Preference
from feedback.rules.data.content_hash import canonical
from feedback.rules.data.row_weights import ONE, of_answer, of_ranked
from feedback.rules.json_types import JsonObject
from feedback.selectors.data import corpora
from feedback.selectors.data.training_queries import (
    HELD,
    Policy,
    all_pairs,
    asked_of_models,
    count_excluded,
    count_flagged,
    count_in_live_contests,
    current_annotations,
    held_out_annotators,
    standing_pairs,
    standing_verdicts,
    thumbs_given,
    without_excluded,
    written_responses,
)

CHUNK = 500
SINGLE_RESPONSE = ("unpaired", "demonstration")  # kinds of rows about one response
JUDGED = ("preference", "unpaired")  # kinds of rows that say what is better
SELECTION_SHARE = 20  # one document in twenty is held out of pretraining, to measure bits per byte on


Source: TypeAlias = tuple[int, str]  # key and public id of an annotation


@dataclass(frozen=True)
class TrainingRow:
    """One row with where it goes, which annotations it came from (empty when from none), and what it weighs in the loss
    beside a comparison. `annotator`: the key of the one person whose comparison it is; None for everything else."""

    split: str
    row: JsonObject
    annotations: tuple[Source, ...] = ()
    weight: Fraction = ONE
    annotator: int | None = None


def feedback_rows(project: Project, policy: Policy, left_out: Counter[str] | None = None) -> Iterator[TrainingRow]:
    """Preferences, demonstrations, prompts, unpaired examples, and texts with labels and spans of a project.

    Counted in `left_out` instead: what held-out annotators preferred, rated or found bad on training prompts, pairs and
    demonstrations on prompts that the guard blocked or has not seen yet, and texts that were only to be labeled.
    """
    if left_out is None:
        left_out = Counter()
    pairs, written = all_pairs(project, policy), written_responses(project, policy)
    for reason, state in (("held_prompts", Prompt.State.BLOCKED), ("unscreened_prompts", Prompt.State.RECEIVED)):
        left_out[reason] += thumbs_given(project).filter(response__prompt__state=state).count()
        left_out[reason] += pairs.filter(prompt__state=state).count()
        left_out[reason] += written.filter(prompt__state=state).count()
    left_out["excluded_annotators"] += count_excluded(project, policy)
    left_out["contest_running"] += count_in_live_contests(project)
    left_out["flagged_annotators"] += count_flagged(project, policy)
    left_out["texts_to_label"] += asked_of_models(project, policy, only_labeled=True).count()
    left_out -= Counter()  # what is 0 is not reported
    people = held_out_annotators(project, policy)
    theirs = set(Annotation.objects.filter(project=project, annotator__in=people).values_list("pk", flat=True))
    found = _Accepted()
    for row in _feedback_rows(project, policy):
        is_judgment = row.split == Split.TRAIN and row.row["kind"] in JUDGED
        if is_judgment and not theirs.isdisjoint(map(itemgetter(0), row.annotations)):
            left_out["held_out_annotators"] += 1
        else:
            if policy.accepted:
                found.look_at(row)
            yield row
    yield from found.rows()


class _Accepted:
    """Responses that are to be imitated although no person wrote them: each once, and none that anybody found bad."""

    def __init__(self) -> None:
        self.good: dict[str, TrainingRow] = {}
        self.out: set[str] = set()

    def look_at(self, row: TrainingRow) -> None:
        if row.row["kind"] not in SINGLE_RESPONSE:
            return
        key = canonical({"prompt": row.row["prompt"], "completion": row.row["completion"]})
        if row.row.get("label"):
            self.good.setdefault(key, row)
        else:
            self.out.add(key)

    def rows(self) -> Iterator[TrainingRow]:
        for key, row in self.good.items():
            if key not in self.out and row.row["completion"]:
                demonstration = {
                    "kind": "demonstration",
                    "prompt": row.row["prompt"],
                    "completion": row.row["completion"],
                }
                yield TrainingRow(row.split, demonstration, row.annotations)


def _feedback_rows(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    if policy.pairs == "each":
        yield from _each(project, policy)
    else:
        yield from _consensus(project, policy)
    yield from _demonstrations(project, policy)
    yield from _prompts(project, policy)
    yield from _thumbs(project)
    yield from _both_bad(project, policy)
    yield from _ratings(project, policy)
    for kind in WITH_SCHEME:
        yield from _labeled(project, policy, kind)


def corpus_rows(corpus: Corpus, hold_out: str, left_out: Counter[str]) -> Iterator[TrainingRow]:
    """Standing documents, without those that contain what evaluation asks by now; these are counted in `left_out`.

    Args:
        hold_out: `share` sends one in twenty, chosen by its own hash, to selection; `last_tenth` the last tenth of the
            characters, in the order in which they came: the document that lies across the border is cut there.
    """
    evaluation = corpora.evaluation(corpus.project)
    documents = Document.objects.standing().filter(corpus=corpus).order_by("pk")
    sizes: dict[int, int] = {}
    for key, text in documents.values_list("pk", "text").iterator(chunk_size=CHUNK):
        if evaluation.in_text(text):
            left_out["evaluation"] += 1
        else:
            sizes[key] = len(text)
    border, before = sum(sizes.values()) * 9 // 10, 0
    for document in documents.defer("signature").iterator(chunk_size=CHUNK):
        if document.pk not in sizes:
            continue
        row = {
            "kind": "document",
            "text": document.text,
            "source": document.source,
            "document_kind": document.document_kind,
            "licence": document.licence,
        }
        if hold_out != Corpus.HoldOut.LAST_TENTH:
            held_out = int(document.text_hash[:8], 16) % SELECTION_SHARE == 0
            if held_out:
                yield TrainingRow("selection", row)
            else:
                yield TrainingRow("train", row)
            continue
        cut = min(max(border - before, 0), len(document.text))
        before += len(document.text)
        if head := document.text[:cut]:
            yield TrainingRow("train", row | {"text": head})
        if tail := document.text[cut:]:
            yield TrainingRow("selection", row | {"text": tail})


def _each(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    pairs = standing_pairs(project, policy)
    for pair in pairs.select_related("prompt", "chosen", "rejected", "annotation").iterator(chunk_size=CHUNK):
        yield TrainingRow(
            pair.prompt.split,
            _preference(pair.prompt, pair.chosen.text, pair.rejected.text, pair.strength),
            (_source(pair.annotation),),
            of_answer(pair.annotation.kind, pair.annotation.payload),
            _compared_by(pair.annotation),
        )


def _consensus(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    verdicts = {one.task_id: one for one in standing_verdicts(project, policy)}
    by_task: dict[tuple[int, frozenset[int]], list[PreferencePair]] = defaultdict(list)
    for pair in standing_pairs(project, policy).select_related("prompt", "chosen", "rejected", "annotation"):
        if pair.annotation.task_id not in verdicts:
            by_task[pair.annotation.task_id, frozenset((pair.chosen_id, pair.rejected_id))].append(pair)
    current = current_annotations(project, policy, *PAIRWISE).exclude(payload__outcome="prefer")
    abstaining = Counter(current.values_list("task_id", flat=True))
    for (task_id, _), pairs in by_task.items():
        texts: dict[str, str] = {}
        preferences, sources = [], []
        for pair in pairs:
            chosen, rejected = str(pair.chosen_id), str(pair.rejected_id)
            texts |= {chosen: pair.chosen.text, rejected: pair.rejected.text}
            preferences.append(Preference(chosen, rejected, pair.strength))
            sources.append(_source(pair.annotation))
        one = consensus(preferences, abstaining[task_id])
        if one is not None:
            prompt = pairs[0].prompt
            yield TrainingRow(
                prompt.split,
                _preference(prompt, texts[one.chosen], texts[one.rejected], one.strength),
                tuple(sources),
                of_answer(pairs[0].annotation.kind, pairs[0].annotation.payload),
            )
    for verdict in standing_verdicts(project, policy).select_related("task__prompt").order_by("pk"):
        yield from _decided(verdict, policy)


def _decided(verdict: Verdict, policy: Policy) -> Iterator[TrainingRow]:
    """The pairs of a verdict, traced to the answers that it was made from."""
    prompt = verdict.task.prompt
    texts = {str(one.public_id): one.text for one in Response.objects.filter(public_id__in=verdict.shown)}
    current = Annotation.objects.filter(pk__in=verdict.task.assignments.values("current")).order_by("pk")
    sources = tuple(map(_source, without_excluded(current, verdict.project, policy)))
    for one in preferences_in(verdict.task.kind, verdict.payload):
        row = _preference(prompt, texts[one.chosen], texts[one.rejected], one.strength)
        yield TrainingRow(prompt.split, row, sources, of_answer(verdict.task.kind, verdict.payload))


def _demonstrations(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    """Human responses; of those written for a task, only the current annotation."""
    written = written_responses(project, policy).exclude(prompt__state__in=HELD)
    for response in written.select_related("prompt", "annotation").order_by("pk").iterator(chunk_size=CHUNK):
        row = {"kind": "demonstration", "prompt": response.prompt.messages, "completion": response.text}
        sources: tuple[Source, ...] = ()
        if response.annotation is not None:
            sources = (_source(response.annotation),)
        yield TrainingRow(response.prompt.split, row, sources)


def _prompts(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    """Each distinct prompt once, so that repeated prompts are not sampled more often."""
    seen = set()
    for prompt in asked_of_models(project, policy).order_by("pk").iterator(chunk_size=CHUNK):
        key = (prompt.family, str(prompt.messages), prompt.split == Split.NONE)
        if key not in seen:
            seen.add(key)
            yield TrainingRow(prompt.split, {"kind": "prompt", "prompt": prompt.messages})


def _thumbs(project: Project) -> Iterator[TrainingRow]:
    """The last thumb of each token and response."""
    thumbs = thumbs_given(project).exclude(response__prompt__state__in=HELD).select_related("response__prompt")
    last = {(one.response_id, one.token_id, one.person_id): one for one in thumbs.order_by("pk")}
    for thumb in last.values():
        yield TrainingRow(thumb.response.prompt.split, _unpaired(thumb.response, thumb.up))


def _both_bad(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    """Both responses of a comparison that an annotator found bad."""
    for annotation in current_annotations(project, policy, *PAIRWISE).filter(payload__outcome="both_bad"):
        responses = Response.objects.filter(public_id__in=annotation.shown).select_related("prompt")
        for response in responses.order_by("pk"):
            yield TrainingRow(response.prompt.split, _unpaired(response, False), (_source(annotation),))


def _ratings(project: Project, policy: Policy) -> Iterator[TrainingRow]:
    """Clearly good and bad responses as unpaired examples, and pairs of what one annotator rated apart."""
    by_annotator: dict[tuple[int, int], list[tuple[Annotation, float]]] = defaultdict(list)
    rated = current_annotations(project, policy, rating.KIND.name).select_related("task__prompt")
    shown = Response.objects.filter(tasks__annotations__in=rated).select_related("prompt").distinct()
    responses = {str(response.public_id): response for response in shown}
    for annotation in rated:
        response = responses[annotation.payload["response"]]
        value = rating.score(annotation.payload)
        good = rating.verdict(annotation.payload)
        if good is not None:
            yield TrainingRow(response.prompt.split, _unpaired(response, good), (_source(annotation),))
        by_annotator[annotation.annotator_id, response.prompt_id].append((annotation, value))
    for ratings in by_annotator.values():
        for (one, high), (other, low) in permutations(ratings, 2):
            if high - low >= 1:
                better, worse = responses[one.payload["response"]], responses[other.payload["response"]]
                row = _preference(better.prompt, better.text, worse.text, min(STRONG, int(high - low)))
                yield TrainingRow(better.prompt.split, row, (_source(one), _source(other)), of_ranked(len(ratings)))


def _labeled(project: Project, policy: Policy, kind: str) -> Iterator[TrainingRow]:
    """Texts with people's answers of them: each answer, or what most answers to a task (or its reviewer) say.

    Left out: texts under a scheme that the project no longer has, and of a scheme that asks for one label now, answers
    from when it allowed several.
    """
    labeled = Response.objects.filter(placed__task__project=project, placed__task__kind=kind)
    texts = dict(labeled.values_list("public_id", "text"))
    decided = standing_verdicts(project, policy).filter(task__kind=kind)
    verdicts: dict[int, Payload] = {one.task_id: project.names.read(one.payload) for one in decided}
    annotations = current_annotations(project, policy, kind).select_related("task__prompt").order_by("task_id", "pk")
    for _, of_task in groupby(annotations.iterator(chunk_size=CHUNK), key=attrgetter("task_id")):
        answers = list(filter(attrgetter("payload"), of_task))
        if not answers:
            continue
        task = answers[0].task
        scheme = project.label_scheme.get(task.ask.get("scheme", ""))
        if scheme is None:
            continue
        on = answers[0].payload["on"]
        text = task.prompt.text
        if on != PROMPT:
            text = texts[UUID(on)]
        payloads: list[Payload] = [project.names.read(answer.payload) for answer in answers]
        sources = tuple(map(_source, answers))
        settled: list[tuple[Payload, tuple[Source, ...]]] = []
        if policy.pairs == "each":
            for payload, source in zip(payloads, sources, strict=True):
                settled.append((payload, (source,)))
        elif most := verdicts.get(task.pk) or majority(kind, payloads):
            settled.append((most, sources))
        for payload, of_payload in settled:
            row = _label_row(kind, text, payload, scheme | {"name": task.ask["scheme"]})
            if row is not None:
                yield TrainingRow(task.prompt.split, row, of_payload)


def _label_row(kind: str, text: str, payload: Payload, scheme: LabelScheme) -> JsonObject | None:
    """A trainer row, or None where the scheme no longer allows the answer. Labels that the scheme lost since stand
    behind its own."""
    label_text = KINDS[kind].label_text
    if label_text is None:
        return None
    labeled = label_text(payload, text, scheme)
    if labeled is None:
        return None
    names = map(itemgetter("name"), scheme["labels"])
    classes = list(dict.fromkeys([*names, *labeled.used]))
    return {"kind": kind, "text": text, "scheme": scheme["name"], "classes": classes, **labeled.fields}


def _compared_by(annotation: Annotation) -> int | None:
    """Whose comparison it is. Errors are measured on comparisons, so they say nothing of rankings."""
    if annotation.kind in PAIRWISE:
        return annotation.annotator_id
    return None


def _source(annotation: Annotation) -> Source:
    return annotation.pk, str(annotation.public_id)


def _preference(prompt: Prompt, chosen: str, rejected: str, strength: int) -> JsonObject:
    return {
        "kind": "preference",
        "prompt": prompt.messages,
        "chosen": chosen,
        "rejected": rejected,
        "strength": strength,
    }


def _unpaired(response: Response, label: bool) -> JsonObject:
    return {"kind": "unpaired", "prompt": response.prompt.messages, "completion": response.text, "label": label}
