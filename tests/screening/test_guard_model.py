"""The guard stands at the entrance: what passes, what is blocked, what waits, and who may let on what was blocked.

The scores are given here; that a real classifier and a real worker give them is tests/browser/test_full_turn.py's.
"""

from typing import Any

import pytest
from django.utils import timezone

from feedback.errors import Conflict, Invalid, InvalidTransition
from feedback.models import Assignment, Job, ModelVersion, Prompt, Response, Task
from feedback.rules.screening.screening import Guard
from feedback.selectors.screening import guard_models
from feedback.selectors.screening import screening as screening_selectors
from feedback.services.collection import assignment_queue, assignments, generation, prompts, tasks
from feedback.services.data import imports, preferences
from feedback.services.platform import projects
from feedback.services.registry import model_versions
from feedback.services.screening import screening
from tests.factories import make_model, make_prompt, make_response, make_snapshot, make_task, take

pytestmark = pytest.mark.database

NAMES = {"kind": "spans", "labels": [{"name": "person"}, {"name": "place"}]}
SAFE, SPAM = {"spam": 0.1, "ham": 0.9}, {"spam": 0.8, "ham": 0.2}


@pytest.fixture
def classifier(project, ada) -> ModelVersion:
    version = make_model(project, ada, stage="classify")
    ModelVersion.objects.filter(pk=version.pk).update(metrics={"class_balance": {"spam": 9, "ham": 9}})
    version.refresh_from_db()
    return model_versions.decide(by=ada, model_version=version, state="approved")


@pytest.fixture
def guarded(project, ada, classifier):
    guard = {"model": "newest", "blocks": ["spam"], "threshold": 0.7}
    return screening.set_screening(by=ada, project=project, guard=guard)


def score(row, scores) -> bool:
    """What the worker does with one row."""
    guard = guard_models.of(row.project).guard
    assert guard is not None
    version = guard_models.model_of(row.project, "classifier", guard.model)
    if isinstance(row, Prompt):
        moved = screening.settle_prompt(row, guard=guard, version=version, scores=scores, spans=[])
    else:
        moved = screening.settle_response(row, guard=guard, version=version, scores=scores)
    row.refresh_from_db()
    return moved


def test_the_likeliest_blocked_class_counts():
    guard = Guard("newest", ("spam", "rude"), 0.5)
    assert guard.blocked_by({"spam": 0.5, "rude": 0.6, "ham": 0.9}) == "rude"
    assert guard.blocked_by({"spam": 0.49, "ham": 0.9}) == ""


class TestSetting:
    def test_only_what_is_there_can_be_named(self, project, ada):
        with pytest.raises(Invalid, match="No classifier is approved yet"):
            screening.set_screening(by=ada, project=project, guard={"model": "newest", "blocks": ["spam"]})
        make_model(project, ada, stage="classify")  # a candidate that nobody has approved
        with pytest.raises(Invalid, match="No classifier is approved yet"):
            screening.set_screening(by=ada, project=project, guard={"model": "newest", "blocks": ["spam"]})

    def test_of_another_project_or_class_is_refused(self, project, other_project, hana, ada, classifier):
        elsewhere = make_model(other_project, hana, stage="classify")
        for model in (str(elsewhere.public_id), "nonsense"):
            with pytest.raises(Invalid, match="no such classifier"):
                screening.set_screening(by=ada, project=project, guard={"model": model, "blocks": ["spam"]})
        with pytest.raises(Invalid, match="has no class 'rude'"):
            screening.set_screening(by=ada, project=project, guard={"model": "newest", "blocks": ["rude"]})

    @pytest.mark.parametrize(
        "changes",
        [
            {"guard": {"model": "newest", "blocks": []}},
            {"guard": {"model": "newest", "blocks": ["spam"], "threshold": 1}},
            {"guard": 3},
            {"marker": {"model": "newest", "scheme": "none"}},
            {"personal": "shred"},
        ],
    )
    def test_other_shapes_are_refused(self, project, ada, classifier, changes):
        with pytest.raises(Invalid):
            screening.set_screening(by=ada, project=project, **changes)
        project.refresh_from_db()
        assert project.screening == {}


class TestPrompts:
    def test_without_a_guard_they_pass_at_once(self, project):
        prompt = make_prompt(project)
        assert (prompt.state, prompt.screening) == ("ready", {"guard": None})

    def test_they_wait_and_go_on(self, guarded, ada):
        make_model(guarded, ada, serve=True)
        prompt = make_prompt(guarded, responses_wanted=2)
        assert (prompt.state, prompt.responses.count()) == ("received", 0)
        assert Job.objects.filter(kind="score", status="queued").count() == 1
        assert score(prompt, SAFE)
        assert (prompt.state, prompt.responses.count()) == ("screened", 2)
        assert prompt.screening["scores"] == SAFE
        assert "blocked_by" not in prompt.screening
        assert not score(prompt, SPAM), "a second delivery moves nothing"
        assert prompt.responses.count() == 2

    def test_blocked_ones_reach_nobody(self, guarded, ben, ada):
        prompt = make_prompt(guarded, "Win a prize now")
        task = make_task(guarded, prompt, responses=[make_response(prompt), make_response(prompt)])
        assert task.state == "waiting"
        assert not isinstance(assignment_queue.next_assignment(project=guarded, annotator=ben), Assignment)
        assert score(prompt, SPAM)
        task.refresh_from_db()
        assert (prompt.state, prompt.screening["blocked_by"], task.state) == ("blocked", "spam", "withdrawn")
        with pytest.raises(InvalidTransition, match="guard model blocked"):
            tasks.reopen_task(by=ada, task=task)
        with pytest.raises(Conflict):
            generation.request_responses(prompt=prompt, count=2)
        other = make_prompt(guarded)
        score(other, SAFE)
        counts = make_snapshot(guarded, ada).counts
        assert sum(split.get("prompt", 0) for split in counts.values()) == 1

    def test_an_admin_lets_one_on_with_a_reason(self, guarded, ada):
        prompt = make_prompt(guarded)
        with pytest.raises(InvalidTransition):
            screening.unblock_prompt(by=ada, prompt=prompt, reason="it is fine")
        score(prompt, SPAM)
        with pytest.raises(Invalid):
            screening.unblock_prompt(by=ada, prompt=prompt, reason=" ")
        prompt = screening.unblock_prompt(by=ada, prompt=prompt, reason="A customer asks about prizes.")
        assert prompt.state == "ready"
        assert prompt.screening["unblocked"]["reason"] == "A customer asks about prizes."

    def test_a_guard_that_is_gone_loses_nothing(self, guarded, ada, classifier):
        prompt = make_prompt(guarded)
        model_versions.decide(by=ada, model_version=classifier, state="revoked")
        assert guard_models.model_of(guarded, "classifier", "newest") is None
        job = Job.objects.get(kind="score")
        Job.objects.filter(pk=job.pk).update(status="failed", finished_at=job.created_at)
        Job.objects.filter(pk=job.pk).update(finished_at=job.created_at - 2 * screening.TRY_AGAIN_AFTER)
        assert screening.pick_up() == 0, "there is nothing to try with"
        assert "was deleted or rejected" in screening_selectors.status(guarded).trouble
        model_versions.decide(by=ada, model_version=classifier, state="approved")
        Job.objects.filter(pk=job.pk).update(finished_at=timezone.now())
        assert screening.pick_up() == 0, "it has just failed"
        Job.objects.filter(pk=job.pk).update(finished_at=job.created_at - 2 * screening.TRY_AGAIN_AFTER)
        assert (screening.pick_up(), screening.pick_up()) == (1, 0)
        prompt.refresh_from_db()
        assert (prompt.state, screening_selectors.status(guarded).waiting) == ("received", 1)
        project = screening.set_screening(by=ada, project=guarded, guard=None)
        screening.settle_prompt(Prompt.objects.get(pk=prompt.pk), guard=None, version=None, scores={}, spans=[])
        prompt.refresh_from_db()
        assert (prompt.state, guard_models.of(project).guard) == ("ready", None)


class TestResponses:
    def test_generated_ones_meet_once_both_have_passed(self, guarded, ada):
        make_model(guarded, ada, serve=True)
        prompt = make_prompt(guarded, responses_wanted=2)
        score(prompt, SAFE)
        first, second = written(prompt)
        assert {first.state, second.state} == {"screening"}
        score(first, SAFE)
        assert Task.objects.count() == 0
        score(second, SAFE)
        assert Task.objects.get().state == "open"

    def test_a_blocked_one_meets_nobody(self, guarded, ada):
        make_model(guarded, ada, serve=True)
        prompt = make_prompt(guarded, responses_wanted=2)
        score(prompt, SAFE)
        first, second = written(prompt)
        score(first, SAFE)
        score(second, SPAM)
        prompt.refresh_from_db()
        assert (second.state, prompt.state, Task.objects.count()) == ("blocked", "ready", 0)
        screening.unblock_response(by=ada, response=second, reason="Harmless.")
        assert Task.objects.get().state == "open"

    def test_given_ones_hold_their_task_back(self, guarded):
        prompt = make_prompt(guarded)
        score(prompt, SAFE)
        responses = [make_response(prompt), make_response(prompt)]
        task = make_task(guarded, prompt, responses=responses)
        assert task.state == "waiting"
        for response in responses:
            score(response, SAFE)
        task.refresh_from_db()
        assert task.state == "open"


def written(prompt) -> list[Response]:
    """The worker wrote its responses."""
    job = Job.objects.filter(kind="generation").latest("pk")
    rows = generation.claim_batch(job)
    for row in rows:
        generation.finish_response(row, text=f"text {row.pk}", finish_reason="stop", tokens=2)
    return list(Response.objects.filter(prompt=prompt).order_by("pk"))


class TestATaskIsCreatedWhileTheGuardReads:
    """Somebody read the prompt before the guard settled it, and creates their task afterwards."""

    @pytest.mark.parametrize(("scores", "state"), [(SAFE, "open"), (SPAM, "withdrawn")])
    def test_the_prompt_is_settled_first(self, guarded, scores, state):
        prompt = make_prompt(guarded)
        responses = [make_response(prompt), make_response(prompt)]
        for response in responses:
            score(response, SAFE)
        read_before = Prompt.objects.get(pk=prompt.pk)
        assert read_before.state == "received"
        assert score(prompt, scores)
        assert make_task(guarded, read_before, responses=responses).state == state

    @pytest.mark.parametrize(("scores", "state"), [(SAFE, "open"), (SPAM, "withdrawn")])
    def test_a_response_is_settled_first(self, guarded, scores, state):
        prompt = make_prompt(guarded)
        score(prompt, SAFE)
        responses = [make_response(prompt), make_response(prompt)]
        score(responses[1], SAFE)
        read_before = list(Response.objects.filter(prompt=prompt).order_by("pk"))
        assert read_before[0].state == "screening"
        assert score(responses[0], scores)
        assert make_task(guarded, prompt, responses=read_before).state == state

    def test_nothing_is_settled_yet(self, guarded):
        prompt = make_prompt(guarded)
        assert make_task(guarded, prompt).state == "waiting"


class TestPersonalData:
    @pytest.mark.parametrize(
        ("setting", "state", "text"),
        [
            ("off", "ready", "Write to ann@example.org"),
            ("note", "ready", "Write to ann@example.org"),
            ("mask", "ready", "Write to [email]"),
            ("block", "blocked", "Write to ann@example.org"),
        ],
    )
    def test_as_the_project_says(self, project, ada, setting, state, text):
        project = screening.set_screening(by=ada, project=project, personal=setting)
        prompt = make_prompt(project, "Write to ann@example.org", external_id="one")
        assert (prompt.state, prompt.text) == (state, text)
        assert prompt.screening.get("personal") == (None if setting == "off" else ["email"])
        again, created = prompts.submit_prompt(
            project=project,
            by=None,
            messages=[{"role": "user", "content": "Write to ann@example.org"}],
            external_id="one",
        )
        assert (again, created) == (prompt, False)

    def test_what_the_marker_finds_is_masked_too(self, project, ada, hana):
        projects.set_scheme(by=hana, project=project, name="names", scheme=NAMES)
        project.refresh_from_db()
        model_versions.decide(by=ada, model_version=make_model(project, ada, stage="tag"), state="approved")
        marker = {"model": "newest", "scheme": "names", "personal": ["person"]}
        project = screening.set_screening(by=ada, project=project, marker=marker, personal="mask")
        prompt = make_prompt(project, "Ask Zoë in Graz")
        assert prompt.state == "received"
        spans: Any = [{"start": 4, "end": 7, "label": "person", "score": 0.9}]
        assert screening.settle_prompt(prompt, guard=None, version=None, scores={}, spans=spans)
        prompt.refresh_from_db()
        assert (prompt.state, prompt.text, prompt.screening["personal"]) == (
            "ready",
            "Ask [person] in Graz",
            ["person"],
        )


class TestMarker:
    def test_its_marks_stand_on_the_desk_as_a_draft_to_be_corrected(self, project, ada, hana, ben):
        from feedback.selectors.collection import desk

        projects.set_scheme(by=hana, project=project, name="names", scheme=NAMES)
        project.refresh_from_db()
        version = model_versions.decide(by=ada, model_version=make_model(project, ada, stage="tag"), state="approved")
        project = screening.set_screening(by=ada, project=project, marker={"model": "newest", "scheme": "names"})
        task, _ = tasks.create_task(
            project=project,
            by=None,
            kind="spans",
            prompt=make_prompt(project, "Ask Zoë in Graz"),
            responses=[],
            ask={"scheme": "names"},
        )
        assert Job.objects.filter(kind="score", status="queued").count() == 1
        (waiting,) = screening.tasks_to_mark(project)
        spans: Any = [
            {"start": 4, "end": 7, "label": "person", "text": "Zoë", "score": 0.9},
            {"start": 11, "end": 15, "label": "planet", "text": "Graz", "score": 0.8},
        ]
        assert screening.suggest(waiting, version=version, spans=spans)
        assert not screening.suggest(waiting, version=version, spans=[])
        task.refresh_from_db()
        assert task.suggestion is not None and task.suggestion["model"] == str(version.public_id)
        seen = desk.payload(take(project, ben))
        assert seen["suggestion"] == {"spans": [{"start": 4, "end": 7, "label": "person"}]}
        assert (seen["draft"], seen["answer"]) == (None, None)
        assert screening.waits(project) is False

    def test_gold_tasks_look_like_any_other(self, project, ada, hana, ben):
        from feedback.selectors.collection import desk

        projects.set_scheme(by=hana, project=project, name="names", scheme=NAMES)
        projects.update_project(by=hana, project=project, queue_policy={"gold_share": 1})
        project.refresh_from_db()
        version = model_versions.decide(by=ada, model_version=make_model(project, ada, stage="tag"), state="approved")
        project = screening.set_screening(by=ada, project=project, marker={"model": "newest", "scheme": "names"})
        gold, ordinary = [
            tasks.create_task(
                project=project,
                by=None,
                kind="spans",
                prompt=make_prompt(project, "Ask Zoë in Graz"),
                responses=[],
                ask={"scheme": "names"},
                gold=right,
            )[0]
            for right in ({"spans": [{"start": 4, "end": 7, "label": "person"}]}, None)
        ]
        waiting = list(screening.tasks_to_mark(project))
        assert waiting == [gold, ordinary]
        for task in waiting:
            assert screening.suggest(task, version=version, spans=[{"start": 0, "end": 3, "label": "person"}])
        shown = []
        for share in (1, 0):
            projects.update_project(by=hana, project=project, queue_policy={"gold_share": share})
            project.refresh_from_db()
            held = take(project, ben)
            shown.append(desk.payload(held))
            assignments.skip(assignment=held, reason="other")
        alike = [{name: one[name] for name in one if name not in ("id", "held_until")} for one in shown]
        assert alike[0] == alike[1] and alike[0]["suggestion"] is not None
        assert set(Assignment.objects.values_list("task", flat=True)) == {gold.pk, ordinary.pk}


def test_imported_tasks_wait_too(guarded, ada):
    row = b'{"prompt": "Which one?", "responses": ["this", "that"]}\n'
    job = imports.request_import(project=guarded, by=ada, format="touchstone", name="rows.jsonl", chunks=[row])
    from workers.execution import run_job

    run_job(job.pk)
    task = Task.objects.get()
    assert (task.state, task.prompt.state, {one.state for one in task.responses.all()}) == (
        "waiting",
        "received",
        {"screening"},
    )
    assert task.suggestion is None
    for arrived in [task.prompt, *task.responses.all()]:
        score(arrived, SAFE)
    task.refresh_from_db()
    assert task.state == "open"


class TestPairsFromElsewhere:
    def give(self, project, ada, text):
        return preferences.give_preference(
            project=project,
            by=ada,
            prompt_messages=[{"role": "user", "content": text}],
            chosen="No.",
            rejected="Buy now!",
            source="elsewhere",
            annotator_name="somebody",
        )[0].prompt

    def pairs_in(self, snapshot) -> int:
        return sum(kinds.get("preference", 0) for kinds in snapshot.counts.values())

    def test_on_a_prompt_that_is_held_they_are_kept_and_train_nothing(self, project, ada, guarded):
        good, bad = self.give(project, ada, "my lamp is dark"), self.give(project, ada, "cheap lamps")
        assert {good.state, bad.state} == {"received"} and Job.objects.filter(kind="score").count() == 1
        score(good, SAFE), score(bad, SPAM)
        assert (good.state, bad.state) == ("ready", "blocked")
        snapshot = make_snapshot(project, ada)
        assert (self.pairs_in(snapshot), snapshot.manifest["left_out"]) == (1, {"held_prompts": 1})
        screening.unblock_prompt(by=ada, prompt=bad, reason="It is a lamp shop.")
        assert self.pairs_in(make_snapshot(project, ada)) == 2, "the rejected side may be just what a guard blocks"

    def test_personal_data_in_their_prompts_is_masked_or_refused(self, project, ada):
        project = screening.set_screening(by=ada, project=project, personal="mask")
        assert self.give(project, ada, "I am rosa@example.org").text == "I am [email]"
        project = screening.set_screening(by=ada, project=project, personal="block")
        with pytest.raises(Invalid, match=r"personal data \(email\)"):
            self.give(project, ada, "I am ben@example.org")
        assert Prompt.objects.filter(project=project).count() == 1
