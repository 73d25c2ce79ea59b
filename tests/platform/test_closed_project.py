"""A project is closed: nothing more comes in, whichever way, and an import under way stops."""

import json

import pytest

from feedback.errors import ProjectClosed
from feedback.models import Assignment, Corpus, Document, Project, Prompt, Response, Task, Thumb
from feedback.services.collection import assignment_queue, conversations, prompts, tasks, thumbs
from feedback.services.data import corpora, imports, preferences
from feedback.services.platform import projects
from tests.factories import bring, make_model, make_prompt, make_response, take, write_answers
from workers.execution import run_job

pytestmark = pytest.mark.database


def rows(number: int) -> str:
    return "".join(json.dumps({"prompt": f"number {n}", "responses": ["yes", "no"]}) + "\n" for n in range(number))


def test_an_import_under_way_stops_and_goes_on_when_it_is_opened_again(project, ada, hana):
    job = imports.request_import(
        project=project, by=ada, format="touchstone", name="rows.jsonl", chunks=[rows(900).encode()]
    )
    from feedback.services.platform import jobs

    claimed = jobs.claim(job.pk, "a worker")
    assert claimed is not None
    steps = imports.bring_in(claimed)
    next(steps)
    there = Task.objects.count()
    assert 0 < there < 900
    projects.set_state(by=ada, project=Project.objects.get(pk=project.pk), state="closed")
    with pytest.raises(ProjectClosed) as stopped:
        for _ in steps:
            pass
    assert f"takes no imports; {there} rows of this one were imported" in stopped.value.sentence
    assert Task.objects.count() == there

    projects.set_state(by=ada, project=Project.objects.get(pk=project.pk), state="open")
    jobs.requeue(claimed, "again")
    run_job(job.pk)
    assert Task.objects.count() == 900


def test_the_job_says_why_it_stopped(project, ada):
    job = imports.request_import(project=project, by=ada, format="touchstone", name="r", chunks=[rows(3).encode()])
    projects.set_state(by=ada, project=project, state="closed")
    run_job(job.pk)
    job.refresh_from_db()
    assert (job.status, Task.objects.count()) == ("failed", 0)
    assert job.error.startswith("The project is closed and takes no imports.")


def test_every_other_way_in_is_shut(project, ada, ben):
    make_model(project, ada, serve=True)
    prompt = make_prompt(project)
    pair = [make_response(prompt), make_response(prompt)]
    project.kinds = [*project.kinds, "conversation"]
    project.save(update_fields=["kinds"])
    corpus = corpora.open_corpus(project=project, by=ada, name="texts")
    projects.set_state(by=ada, project=project, state="closed")
    prompt.project = corpus.project = project
    for response in pair:
        response.project = response.prompt.project = project
    user = [{"role": "user", "content": "q"}]
    ways = {
        "prompt": lambda: prompts.submit_prompt(project=project, by=ben, messages=user),
        "more responses": lambda: prompts.want_more(prompt=prompt, by=ada, count=1),
        "response": lambda: prompts.add_response(prompt=prompt, by=ada, text="mine"),
        "task": lambda: tasks.create_task(project=project, by=ada, kind="comparison", prompt=prompt, responses=pair),
        "preference": lambda: preferences.give_preference(
            project=project, by=ada, prompt_messages=user, chosen="a", rejected="b", source="s", annotator_name="n"
        ),
        "import": lambda: bring(project, ada, rows(1)),
        "corpus": lambda: corpora.open_corpus(project=project, by=ada, name="more"),
        "documents": lambda: corpora.request_upload(corpus=corpus, by=ada, name="a.txt", chunks=[b"text"]),
        "conversation": lambda: conversations.start(project=project, person=ben, text="hello"),
        "thumb": lambda: thumbs.give_thumb(response=pair[0], person=ben, token=None, up=True),
    }
    count = [model.objects.count() for model in (Prompt, Response, Task, Corpus, Document, Thumb)]
    for name, way in ways.items():
        with pytest.raises(ProjectClosed):
            way()
            pytest.fail(f"{name} came in")
    assert [model.objects.count() for model in (Prompt, Response, Task, Corpus, Document, Thumb)] == count


def test_what_was_asked_for_before_is_written_and_kept_for_the_day_it_opens(project, ada, ben):
    make_model(project, ada, serve=True)
    prompt = make_prompt(project, responses_wanted=2)
    projects.set_state(by=ada, project=project, state="closed")
    write_answers(prompt, "first", "second")
    assert list(prompt.responses.order_by("pk").values_list("state", "text")) == [
        ("ready", "first"),
        ("ready", "second"),
    ]
    (task,) = Task.objects.all()
    assert task.state == "open"
    assert not isinstance(assignment_queue.next_assignment(project=project, annotator=ben), Assignment)
    projects.set_state(by=ada, project=project, state="open")
    assert take(project, ben).task_id == task.pk


@pytest.mark.parametrize("texts", [("same", "same"), (None, "second"), (None, None)])
def test_a_model_that_fails_or_repeats_itself_in_a_closed_project_ends_no_job(project, ada, texts):
    make_model(project, ada, serve=True)
    prompt = make_prompt(project, responses_wanted=2)
    projects.set_state(by=ada, project=project, state="closed")
    write_answers(prompt, *texts)
    assert not prompt.responses.exclude(state__in=["ready", "failed"]).exists()
    assert not Task.objects.exists()


def test_a_turn_of_a_talk_that_was_begun_before_is_written(project, ada, ben):
    make_model(project, ada, serve=True)
    Project.objects.filter(pk=project.pk).update(kinds=["comparison", "conversation"])
    turn = conversations.start(project=Project.objects.get(pk=project.pk), person=ben, text="hello")
    projects.set_state(by=ada, project=project, state="closed")
    write_answers(turn, "one", "two")
    assert Task.objects.get().kind == "conversation"
    conversation = turn.conversation
    assert conversation is not None
    with pytest.raises(ProjectClosed, match="takes no messages"):
        conversations.say(conversation=conversation, text="more")
