"""Live accuracy jobs: the newest reward model scores people's labels before it, or its successor, is trained on them.

Safe to repeat: nothing is claimed. Labels without a score are read and scored, and a label is scored once by a version
by a unique constraint, so two jobs at once only compute twice. What a kill interrupts before it is written was not
scored, and the next job scores it.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from feedback.models import Annotation, Job, ModelVersion, PreferencePair, Project
from feedback.rules.evaluation.live_accuracy import Score, outcome
from feedback.selectors.evaluation import labels_to_score
from feedback.services.evaluation import live_accuracy
from workers import loaded_models
from workers.handlers import generation
from workers.job_context import JobFailed, Outcome, Work

if TYPE_CHECKING:
    from trainer.modeling.reward_model import RewardModel

log = logging.getLogger(__name__)

BATCH = 500  # labels written at once, which a kill can cost
TOGETHER = 32  # labels read by the model between two looks at whether to stop
REMEDY = "Until then, labels wait. Reject that reward model, or train another."


def carry_out(work: Work) -> Outcome:
    """Score until nothing waits. Where a newer reward version arrives meanwhile, it goes on with that one."""
    assert work.job.project_id is not None
    project = Project.objects.get(pk=work.job.project_id)
    scored, after = 0, 0
    before: ModelVersion | None = None
    while (version := labels_to_score.newest_reward_model(project)) is not None:
        if version != before:
            before, after = version, 0
        labels = labels_to_score.next_batch(version, after=after, limit=BATCH)
        if not labels:
            break
        scores = _scores(work, version, labels, scored)
        scored += live_accuracy.store(version=version, scores=scores)
        after = labels[-1].pk
    return Outcome({"scored": scored})


def _scores(work: Work, version: ModelVersion, labels: Sequence[Annotation], done: int) -> list[Score]:
    pairs: dict[int, list[PreferencePair]] = defaultdict(list)
    for pair in labels_to_score.pairs_of(labels):
        pairs[pair.annotation_id].append(pair)
    model = _model(work, version)
    scores: list[Score] = []
    for start in range(0, len(labels), TOGETHER):
        work.check()
        generation.let_live_ones_by(work)
        work.say(f"scoring labels by {version}; {done + len(scores)} done")
        some = [label for label in labels[start : start + TOGETHER] if pairs[label.pk]]  # revised since: no pairs
        scores += _tried(model, some, pairs)
    return scores


def _tried(model: "RewardModel", labels: Sequence[Annotation], pairs: dict[int, list[PreferencePair]]) -> list[Score]:
    """Scores of labels; where they cannot be read at once, one by one, so that an error costs only its own label."""
    from trainer.errors import DataUnusable

    if not labels:
        return []
    try:
        return _read(model, labels, pairs)
    except (DataUnusable, ValueError):  # about a label; what is about the machine ends the job
        if len(labels) > 1:
            return [score for label in labels for score in _tried(model, [label], pairs)]
        log.exception("annotation %s cannot be scored", labels[0].public_id)
        return [_unreadable(labels[0], pairs[labels[0].pk])]


def _read(model: "RewardModel", labels: Sequence[Annotation], pairs: dict[int, list[PreferencePair]]) -> list[Score]:
    from trainer.modeling.heads import spread

    places: dict[int, int] = {}
    prompts: list[tuple[dict[str, str], ...]] = []
    texts: list[str] = []
    for label in labels:
        for pair in pairs[label.pk]:
            for response in (pair.chosen, pair.rejected):
                if response.pk not in places:
                    places[response.pk] = len(texts)
                    prompts.append(tuple(label.task.prompt.messages))
                    texts.append(response.text)
    heads = model.score_by_head(prompts, texts)  # (texts, heads)
    rewards = model.combined(heads)
    scores = []
    for label in labels:
        chosen = [places[pair.chosen_id] for pair in pairs[label.pk]]
        rejected = [places[pair.rejected_id] for pair in pairs[label.pk]]
        found = outcome((rewards[chosen] - rewards[rejected]).tolist())
        apart = None
        if heads.shape[1] > 1:
            apart = float(spread(heads[chosen] - heads[rejected]).mean())
        scores.append(Score(label.pk, _strength(pairs[label.pk]), len(chosen), found, apart))
    return scores


def _unreadable(label: Annotation, pairs: Sequence[PreferencePair]) -> Score:
    return Score(label.pk, _strength(pairs), len(pairs), None)


def _strength(pairs: Sequence[PreferencePair]) -> int | None:
    if len(pairs) == 1:
        return pairs[0].strength
    return None


def _model(work: Work, version: ModelVersion) -> "RewardModel":
    from trainer.errors import TrainerError

    work.say(f"loading {version}")
    try:
        with work.long_step(generation.LOADING):
            return loaded_models.reward_model(version.path, version.manifest_sha256)
    except TrainerError as error:
        raise JobFailed(Job.ErrorKind.DATA, error.message, REMEDY) from error
