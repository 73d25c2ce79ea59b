"""A worker scores the pool with the newest reward model, once each, and makes the next batch of tasks, once each."""

from collections import Counter
from itertools import combinations
from typing import Any

import pytest

from feedback.models import (
    Choice,
    Job,
    ModelVersion,
    Person,
    Project,
    Response,
    ResponseScore,
    SelectionReplay,
    Split,
    Task,
)
from feedback.rules.evaluation import active_selection as rules
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.evaluation import selection_pool
from feedback.services.collection import task_supply
from feedback.services.evaluation import active_selection, choices
from feedback.services.platform import jobs, projects
from feedback.services.quality import doubling
from tests.evaluation.contest_story import crowd
from tests.factories import make_model, make_pair, make_prompt_in, make_response, write_answers
from tests.workers.conftest import MakeReward
from trainer.modeling.reward_model import RewardModel
from workers import housekeeping, loaded_models
from workers.execution import run_job
from workers.handlers import active_selection as handler
from workers.job_context import PutBack

# Committed rows: the worker beats from a thread with a connection of its own, and would not see others.
pytestmark = pytest.mark.django_db(transaction=True)
TRAIN_PROMPTS, RESPONSES = 12, 4


@pytest.fixture
def reward(project: Project, ada: Person, make_reward: MakeReward, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    """A project in which active selection is on: 12 training prompts and one validation prompt, 4 responses each."""
    for name, value in (("FEWEST_LABELS", 6), ("REPLAY_LABELS", 6), ("SMALLEST_BATCH", 10)):
        monkeypatch.setattr(rules, name, value)
    for _ in range(6):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    for split in [Split.TRAIN] * TRAIN_PROMPTS + [Split.SELECTION]:
        prompt = make_prompt_in(project, split)
        for _ in range(RESPONSES):
            make_response(prompt)
    version = make_reward()
    job = Job.objects.create(kind=Job.Kind.REPLAY, queue="train", project=project, status=Job.Status.SUCCEEDED)
    SelectionReplay.objects.create(
        project=project, job=job, reward_version=version, acquisition="variance", random_share=0.3, labels=6, pool=6,
        held_out=200, active_accuracy=[0.7] * 5, random_accuracy=[0.6] * 5, difference=0.1, low=0.1, high=0.1,
        learnable=True,
    )  # fmt: skip
    active_selection.change(by=ada, project=project, on=True)
    return version


def choose(project: Project) -> Job:
    """A worker carries out the choice that housekeeping has requested."""
    choices.keep_supplied()
    job = Job.objects.get(project=project, kind=Job.Kind.CHOICE, status=Job.Status.QUEUED)
    run_job(job.pk)
    job.refresh_from_db()
    return job


def chosen(project: Project) -> list[Task]:
    return list(Task.objects.filter(project=project, choice__isnull=False).order_by("pk"))


def test_a_batch_becomes_tasks_with_arm_and_propensity(reward: ModelVersion, project: Project) -> None:
    job = choose(project)
    assert (job.status, job.queue, job.result) == ("succeeded", "generate", {"tasks": 10})
    choice = Choice.objects.get()
    pairs = (TRAIN_PROMPTS + 1) * 6
    assert (choice.number, choice.batch, choice.cap, choice.labels) == (1, 10, 2, 6)
    assert (choice.pool_pairs, choice.pool_prompts, choice.reward_version) == (pairs, TRAIN_PROMPTS + 1, reward)
    assert (choice.random_tasks, choice.active_tasks, choice.temperature) == (3, 7, rules.TEMPERATURE)
    tasks = chosen(project)
    assert Counter(task.arm for task in tasks) == {"random": 3, "active": 7}
    for task in tasks:
        assert (task.kind, task.state, task.annotations_wanted, task.free_slots) == ("comparison", "open", 2, 2)
        assert 0 < task.propensity <= 1
        assert task.arm == "random" or task.prompt.split == "train", "held-out prompts are never chosen actively"
    assert [task.propensity for task in tasks if task.arm == "random"] == pytest.approx([3 / pairs] * 3)
    shown = Counter(response.pk for task in tasks for response in task.responses.all())
    assert len(shown) == 20 and set(shown.values()) == {1}
    assert max(Counter(task.prompt_id for task in tasks).values()) <= 2
    assert ResponseScore.objects.filter(reward_version=reward).count() == (TRAIN_PROMPTS + 1) * RESPONSES
    assert {len(heads) for heads in ResponseScore.objects.values_list("heads", flat=True)} == {4}


def test_random_pairs_of_a_batch_may_want_two_annotators_and_selected_ones_never(
    reward: ModelVersion, project: Project, ada: Person
) -> None:
    crowd(project, ada, 3)
    projects.update_project(by=ada, project=project, annotations_per_task=1, queue_policy={"double_share": 0.5})
    active_selection.change(by=ada, project=project, random_share=0.8)
    choose(project)
    project.refresh_from_db()
    share = doubling.share_of(project)
    assert share == 0.5
    wanted: dict[str, list[int | None]] = {"random": [], "active": []}
    for task in chosen(project):
        wanted[task.arm].append(task.annotations_wanted)
        assert task.free_slots == task.annotations_wanted
        if task.arm == "random":
            names = [str(place.response.public_id) for place in task.placed.order_by("position")]
            drawn = doubling.rules.choose(share, "random", 1.0, project.split_salt, *names)
            assert task.annotations_wanted == drawn.annotations_wanted, "the same pair is always drawn alike"
    assert len(wanted["random"]) == 8
    assert wanted["active"] == [1, 1]


def test_delivered_twice_it_is_made_once(reward: ModelVersion, project: Project) -> None:
    job = choose(project)
    before = [task.pk for task in chosen(project)]
    run_job(job.pk)
    choices.keep_supplied()
    assert [task.pk for task in chosen(project)] == before
    assert Choice.objects.count() == 1
    assert Job.objects.filter(kind=Job.Kind.CHOICE).count() == 1, "ten tasks wait: no more are requested"


def test_put_back_it_scores_nothing_twice_and_chooses_the_same(
    reward: ModelVersion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []
    real_rewards, real_choice = RewardModel.head_rewards, handler._choose

    def counted(model: RewardModel, rows: Any, *args: Any, **options: Any) -> Any:
        scored.append(len(rows))
        return real_rewards(model, rows, *args, **options)

    def stopped(*args: Any) -> Any:
        raise PutBack("The worker was stopped.")

    monkeypatch.setattr(RewardModel, "head_rewards", counted)
    monkeypatch.setattr(handler, "_choose", stopped)
    job = choose(project)
    assert (job.status, Choice.objects.count(), chosen(project)) == ("queued", 0, [])
    monkeypatch.setattr(handler, "_choose", real_choice)
    run_job(job.pk)
    assert scored == [(TRAIN_PROMPTS + 1) * RESPONSES], "the second attempt found the scores of the first"
    assert len(chosen(project)) == 10


def test_what_a_lost_attempt_chose_is_refused(
    reward: ModelVersion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = handler._choose

    def taken_over(*args: Any) -> Any:
        told = real(*args)
        Job.objects.filter(kind=Job.Kind.CHOICE).update(attempt=7)
        return told

    monkeypatch.setattr(handler, "_choose", taken_over)
    choose(project)
    assert (Choice.objects.count(), chosen(project)) == (0, [])


def test_the_same_seed_and_pool_make_the_same_pairs(
    reward: ModelVersion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt ends without a trace; the second chooses what the first had chosen."""
    told: list[list[tuple[int, int]]] = []
    real = choices.record_choice

    def remembered(job: Job, terms: Any, chosen: Any) -> Any:
        told.append([(one.pair.first.key, one.pair.second.key) for one in chosen])
        if len(told) == 1:
            raise RuntimeError("killed")
        return real(job, terms, chosen)

    monkeypatch.setattr(choices, "record_choice", remembered)
    choices.keep_supplied()
    job = Job.objects.get(kind=Job.Kind.CHOICE)
    with pytest.raises(RuntimeError):
        run_job(job.pk)
    assert chosen(project) == []
    jobs.retry(by=None, job=Job.objects.get(pk=job.pk))
    run_job(job.pk)
    assert told[0] == told[1] and len(chosen(project)) == 10


def test_a_pair_is_asked_once_and_a_new_reward_version_scores_anew(
    reward: ModelVersion, project: Project, make_reward: MakeReward
) -> None:
    choose(project)
    first = asked(project)
    Task.objects.filter(project=project).update(state=Task.State.SETTLED, free_slots=0)
    second_version = make_reward()
    choose(project)
    assert len(asked(project)) == 20 and first < asked(project), "no pair came a second time"
    assert [one.reward_version for one in Choice.objects.order_by("number")] == [reward, second_version]
    counts = Counter(ResponseScore.objects.values_list("reward_version", flat=True))
    assert counts == {reward.pk: 52, second_version.pk: 52}


def asked(project: Project) -> set[frozenset[int]]:
    pairs: set[frozenset[int]] = set()
    for task in chosen(project):
        pairs |= {frozenset(pair) for pair in combinations(task.responses.values_list("pk", flat=True), 2)}
    return pairs


def test_a_response_blocked_meanwhile_is_not_shown(
    reward: ModelVersion, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = handler._choose

    def blocked_meanwhile(*args: Any) -> Any:
        told = real(*args)
        Response.objects.filter(pk=told[0].pair.first.key).update(state=Response.State.BLOCKED)
        return told

    monkeypatch.setattr(handler, "_choose", blocked_meanwhile)
    choose(project)
    assert len(chosen(project)) == 9
    assert Choice.objects.get().random_tasks == 2


def test_d_optimal_design(reward: ModelVersion, project: Project, ada: Person) -> None:
    SelectionReplay.objects.update(acquisition="d_optimal")
    active_selection.change(by=ada, project=project, acquisition="d_optimal")
    assert choose(project).status == "succeeded"
    assert Counter(task.arm for task in chosen(project)) == {"random": 3, "active": 7}
    assert {task.propensity for task in chosen(project) if task.arm == "active"} == {1.0}
    assert Choice.objects.get().temperature == 0


def test_while_something_stands_against_it_the_queue_is_filled_as_ever(
    reward: ModelVersion, project: Project, ada: Person
) -> None:
    make_model(project, ada, serve=True)
    projects.update_project(by=ada, project=project, training_policy={"keep_open_tasks": 5})
    assert task_supply.top_up() == 0, "active selection chooses"
    active_selection.set_back_to_random(project=project, because="drift_alarm")
    assert choices.keep_supplied() == 0
    assert task_supply.top_up() == 5


def test_off_a_waiting_choice_chooses_nothing(reward: ModelVersion, project: Project, ada: Person) -> None:
    choices.keep_supplied()
    active_selection.change(by=ada, project=project, on=False)
    job = Job.objects.get(kind=Job.Kind.CHOICE)
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, job.result, chosen(project)) == ("succeeded", {"tasks": 0}, [])


def test_the_pool_is_filled_in_the_background_within_bounds(
    reward: ModelVersion, project: Project, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = make_model(project, ada, serve=True)
    monkeypatch.setattr(choices, "PROMPTS_AT_ONCE", 3)
    monkeypatch.setattr(choices, "AWAITED_AT_ONCE", 40)
    awaited = Response.objects.filter(model_version=version)
    choices.keep_supplied()
    assert Counter(awaited.values_list("prompt", flat=True)).most_common() == [(key, 8) for key in prompts_of(awaited)]
    assert awaited.count() == 24
    choices.keep_supplied()
    choices.keep_supplied()
    assert awaited.count() == 48, "40 were under way, so that was enough"
    assert {response.sampling["make_tasks"] for response in awaited} == {False}
    prompt = awaited.order_by("pk")[0].prompt
    before = Task.objects.filter(prompt=prompt).count()
    write_answers(prompt, *[f"Try number {number}." for number in range(8)])
    assert Task.objects.filter(prompt=prompt).count() == before, "only a choice makes tasks of them"
    in_pool = [one for one in selection_pool.pool(project).responses if one.prompt == prompt.pk]
    assert len(in_pool) == 8, "the newest eight"
    assert {one.text for one in in_pool} == {f"Try number {number}." for number in range(8)}


def prompts_of(responses: Any) -> list[int]:
    return list(dict.fromkeys(responses.order_by("pk").values_list("prompt", flat=True)))


def test_an_empty_pool_is_not_searched_again_and_again(reward: ModelVersion, project: Project, ada: Person) -> None:
    Response.objects.filter(project=project).update(author=ada)
    assert choose(project).result == {"tasks": 0}
    assert choices.keep_supplied() == 0
    make_response(make_prompt_in(project, "train"))
    assert choices.keep_supplied() == 1


def test_a_reward_model_that_cannot_be_loaded_fails_in_a_sentence(
    reward: ModelVersion, project: Project, settings: Any
) -> None:
    (settings.DATA_DIR / reward.path / "model.safetensors").write_bytes(b"torn")
    loaded_models.reward_model.cache_clear()
    job = choose(project)
    assert (job.status, job.error_kind) == ("failed", "data")
    assert "model.safetensors" in job.error and str(settings.DATA_DIR) not in job.error
    assert choices.keep_supplied() == 0, "not at once again"
    assert "model.safetensors" in selectors.status(project).trouble


def test_a_replay_that_is_due_is_requested_by_itself(reward: ModelVersion, project: Project, ada: Person) -> None:
    for _ in range(3):
        make_pair(project, ada, prompt=make_prompt_in(project, "train").text)
    assert choices.keep_supplied() == 1
    job = Job.objects.get(kind=Job.Kind.REPLAY, status=Job.Status.QUEUED)
    assert (job.queue, job.requested_by) == ("train", None)
    assert choices.keep_supplied() == 0, "one is under way"
    assert not Job.objects.filter(kind=Job.Kind.CHOICE).exists(), "and until it has ended, pairs are random"


def test_housekeeping_looks_after_it(reward: ModelVersion, project: Project) -> None:
    housekeeping.sweep()
    assert Job.objects.filter(kind=Job.Kind.CHOICE, status=Job.Status.QUEUED).count() == 1
