"""A held-out prompt that came after its corpus was frozen may stand in it: the evaluation says so."""

import json
from typing import Any

import pytest

from feedback.models import DatasetSnapshot, ModelVersion, Person, Project, Prompt
from feedback.services.data import corpora, snapshots
from feedback.services.evaluation import evaluations
from tests.factories import make_model, make_prompt_in, make_run
from workers.execution import run_job

pytestmark = pytest.mark.database

MET = "Which of the lighthouses on the northern coast was the first to burn gas?"


@pytest.fixture
def corpus(project: Project, hana: Person) -> DatasetSnapshot:
    """Frozen with a document that holds what will be asked later."""
    made = corpora.open_corpus(project=project, by=hana, name="Coast")
    texts = [f"Sailors ask: {MET} Nobody on board number {n} knows." for n in range(3)]
    texts += [f"Boat {n} was built of {wood} by hands that are long gone." for n, wood in enumerate("abcdefgh" * 4)]
    content = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    cleaning = {"near_duplicates": False}
    job = corpora.request_upload(corpus=made, by=hana, name="a.jsonl", chunks=[content], cleaning=cleaning)
    run_job(job.pk)
    drafted = snapshots.request_snapshot(project=project, by=hana, purpose="corpus", corpus=made, job=False)
    return snapshots.freeze(drafted)


@pytest.fixture
def candidate(project: Project, ada: Person, corpus: DatasetSnapshot) -> ModelVersion:
    """An SFT policy whose parent was pretrained on the corpus."""
    base = make_model(project, ada, stage="pretrain")
    assert base.run is not None
    base.run.snapshot = corpus
    base.run.save(update_fields=["snapshot"])
    policy = make_model(project, ada, stage="sft")
    ModelVersion.objects.filter(pk=policy.pk).update(parent=base)
    policy.refresh_from_db()
    return policy


def asked_of(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": text}] for text in texts]


def held_out(project: Project, text: str) -> Prompt:
    prompt = make_prompt_in(project, "test")
    Prompt.objects.filter(pk=prompt.pk).update(messages=[{"role": "user", "content": text}])
    return prompt


def contaminated(project: Project, ada: Person, candidate: ModelVersion, *texts: str) -> Any:
    run = make_run(project, ada, stage="evaluate", base_model=candidate)
    return evaluations.contaminated(run, asked_of(*texts))


def test_a_prompt_that_came_later_and_stands_in_the_corpus_is_counted(
    project: Project, ada: Person, candidate: ModelVersion
) -> None:
    held_out(project, MET)
    held_out(project, "Why do gulls sleep on one leg when the wind turns?")
    other = "Why do gulls sleep on one leg when the wind turns?"
    assert contaminated(project, ada, candidate, MET, other) == 1
    assert contaminated(project, ada, candidate, other) == 0, "only what was asked counts"


def test_what_was_held_out_when_the_corpus_was_frozen_is_not_looked_for(
    project: Project, ada: Person, candidate: ModelVersion
) -> None:
    prompt = held_out(project, MET)
    assert candidate.parent is not None and candidate.parent.run is not None
    frozen = candidate.parent.run.snapshot
    assert frozen is not None
    Prompt.objects.filter(pk=prompt.pk).update(created_at=frozen.created_at)
    assert contaminated(project, ada, candidate, MET) == 0


def test_a_corpus_that_is_gone_leaves_it_unknown(project: Project, ada: Person, candidate: ModelVersion) -> None:
    held_out(project, MET)
    assert candidate.parent is not None and candidate.parent.run is not None
    read = DatasetSnapshot.objects.filter(trainingrun=candidate.parent.run)
    assert read.update(state=DatasetSnapshot.State.REVOKED) == 1
    assert contaminated(project, ada, candidate, MET) is None
    assert contaminated(project, ada, candidate, "Something else?") == 0
