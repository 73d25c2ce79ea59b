"""Simulated annotators over real HTTP: they judge what they are shown, each answer arrives once, whatever is cut."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from feedback.models import Annotation, ApiToken, Assignment, Person, PreferencePair, Project, Task
from feedback.services.platform import projects
from tests.factories import make_prompt, make_response, make_task
from workers.demo import measure, world
from workers.demo.annotators import Annotator, Pair, sample_pairs
from workers.demo.client import Refused, Service, Unreachable
from workers.demo.measure import Sampled
from workers.demo.simulation import Acknowledged, Collection, Worker, answer, collect
from workers.demo.turn import Plan, PlaygroundAnswers, Turn

pytestmark = pytest.mark.django_db(transaction=True)

COMPARISONS = 30


@pytest.fixture
def desk(hana: Person) -> Project:
    """One annotation a task, and more tasks about the demo world than will be judged."""
    project = projects.open_project(by=hana, name="Desk", slug="desk", dimensions=["helpful", "truthful"])
    for pair in _pairs(COMPARISONS + 6):
        prompt = make_prompt(project, pair.prompt)
        make_task(project, prompt, responses=[make_response(prompt, text) for text in (pair.text_a, pair.text_b)])
    return project


def _pairs(n: int) -> list[Pair]:
    return sample_pairs(seed=1, n=n)


def simulate(url: str, *arguments: str) -> tuple[dict[str, Any], str]:
    """The report, and what was told on the way."""
    out, err = StringIO(), StringIO()
    call_command("simulate", "--url", url, "--project", "desk", *arguments, stdout=out, stderr=err)
    return json.loads(out.getvalue()), err.getvalue()


def test_each_acknowledged_answer_is_there_exactly_once_though_connections_are_cut(
    live_server: Any, desk: Project, tmp_path: Path
) -> None:
    record = tmp_path / "answers.jsonl"

    report, _ = simulate(
        live_server.url,
        *("--annotators", "3", "--comparisons", str(COMPARISONS), "--drop", "0.25", "--seed", "4"),
        *("--record", str(record)),
    )

    told = [json.loads(line) for line in record.read_text().splitlines()]
    assert len(told) == report["comparisons"] == COMPARISONS
    assert report["retries"] > 0, "nothing was cut: this test showed nothing"
    stored = {str(row.public_id): row for row in Annotation.objects.select_related("assignment", "annotator")}
    assert {one["annotation"] for one in told} == set(stored), "told and stored are the same answers"
    assert all(str(stored[one["annotation"]].assignment.public_id) == one["assignment"] for one in told)
    assert all(row.assignment.counted and not row.late for row in stored.values())
    assert Task.objects.filter(state=Task.State.SETTLED).count() == COMPARISONS
    assert not Assignment.objects.filter(state=Assignment.State.HELD).exists(), "nobody left with a task in hand"
    assert {row.annotator.username for row in stored.values()} == {f"simulated-{n}" for n in (1, 2, 3)}
    decided = sum(one["outcome"] in ("a", "b") for one in told)
    assert PreferencePair.objects.filter(closed_at=None).count() == decided


def test_tokens_end_with_the_simulation_and_people_stay(live_server: Any, desk: Project) -> None:
    simulate(live_server.url, "--annotators", "2", "--comparisons", "4")
    simulate(live_server.url, "--annotators", "2", "--comparisons", "4")

    assert Person.objects.filter(username__startswith="simulated-").count() == 2
    assert not ApiToken.objects.filter(revoked_at=None).exists()
    assert not Person.objects.filter(username__startswith="simulated-", is_site_admin=True).exists()


def test_what_the_world_cannot_judge_is_left_to_people(live_server: Any, hana: Person) -> None:
    project = projects.open_project(by=hana, name="Desk", slug="desk")
    task = make_task(project, make_prompt(project, "What is the tallest mountain?"))
    pair = _pairs(1)[0]
    prompt = make_prompt(project, pair.prompt)
    make_task(project, prompt, responses=[make_response(prompt, text) for text in (pair.text_a, pair.text_b)])

    report, _ = simulate(live_server.url, "--annotators", "1", "--comparisons", "1")

    assert report["comparisons"] == 1
    task.refresh_from_db()
    assert task.state == Task.State.OPEN and task.free_slots == 1


def test_an_empty_queue_is_told(live_server: Any, hana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    projects.open_project(by=hana, name="Desk", slug="desk")
    monkeypatch.setattr("workers.demo_commands.simulate.IDLE", 0.0)

    with pytest.raises(CommandError, match="0 of 5 comparisons"):
        simulate(live_server.url, "--annotators", "1", "--comparisons", "5")


def test_a_service_that_is_not_there_is_told(db: None, hana: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    projects.open_project(by=hana, name="Desk", slug="desk")
    monkeypatch.setattr("workers.demo_commands.simulate.FIRST_ANSWER", 0.1)

    with pytest.raises(CommandError, match="cannot be used"):
        simulate("http://127.0.0.1:1")
    with pytest.raises(CommandError, match="no project 'nowhere'"):
        call_command("simulate", "--project", "nowhere")


def test_two_of_each_kind_of_fault_do_not_fit_into_three_people(db: None, hana: Person) -> None:
    projects.open_project(by=hana, name="Desk", slug="desk")

    with pytest.raises(CommandError, match="do not fit"):
        call_command("simulate", "--project", "desk", "--annotators", "3", "--spammers", "2", "--inverters", "2")


def test_the_crowd_stops_when_one_of_it_fails(live_server: Any, desk: Project) -> None:
    collection = Collection(5)
    stranger = Worker(Annotator(), Service(live_server.url, "ts_nobody", patience=1), "desk", collection)

    with pytest.raises(Refused, match="401"):
        collect([stranger])
    assert collection.stop.is_set() and not collection.answers


# --- the client --------------------------------------------------------------------------------------


class Scripted:
    """A server that answers from a list, then 200; it keeps what it was asked."""

    def __init__(self, *replies: tuple[int, dict[str, Any]]) -> None:
        self.replies, self.asked = list(replies), list[tuple[str, str | None, bytes]]()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                scripted.asked.append((self.path, self.headers["Idempotency-Key"], body))
                status, reply = scripted.replies.pop(0) if scripted.replies else (200, {"done": True})
                if status == 0:  # killed in the middle
                    self.close_connection = True
                    return
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    made: list[Scripted] = []

    def make(*replies: tuple[int, dict[str, Any]]) -> Scripted:
        made.append(Scripted(*replies))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def _error(code: str) -> dict[str, Any]:
    return {"type": "client_error", "errors": [{"code": code, "detail": "No.", "attr": None}]}


def test_a_call_is_repeated_with_the_same_key_until_it_is_answered(scripted: Callable[..., Scripted]) -> None:
    server = scripted((0, {}), (503, {}), (409, _error("conflict")), (201, {"id": 7}))
    service = Service(server.url, "t", patience=20)

    assert service.post("things/", {"a": 1}).body == {"id": 7}
    service.close()

    keys = {key for _, key, _ in server.asked}
    assert len(server.asked) == 4 and len(keys) == 1 and None not in keys
    assert service.retries == 3


@pytest.mark.parametrize(("status", "code"), [(400, "invalid"), (404, "not_found"), (409, "conflict")])
def test_what_would_be_refused_again_is_not_repeated(scripted: Callable[..., Scripted], status: int, code: str) -> None:
    server = scripted((status, _error(code)))
    service = Service(server.url, "t", patience=20)

    with pytest.raises(Refused) as refused:
        service.post("things/")
    service.close()

    assert (refused.value.status, refused.value.code, len(server.asked)) == (status, code, 1)


def test_patience_ends(scripted: Callable[..., Scripted]) -> None:
    server = scripted(*[(503, {})] * 50)
    service = Service(server.url, "t", patience=0.3)

    with pytest.raises(Unreachable):
        service.post("things/")
    service.close()


def test_an_answer_stored_without_its_reply_counts_as_told(scripted: Callable[..., Scripted]) -> None:
    """The process was killed between storing the answer and storing the reply for its key."""
    pair = _pairs(1)[0]
    shown = {
        "id": "assignment",
        "prompt": [{"role": "user", "content": pair.prompt}],
        "responses": [{"letter": "a", "text": pair.text_a}, {"letter": "b", "text": pair.text_b}],
    }
    server = scripted((200, shown), (0, {}), (409, _error("already_submitted") | {"extra": {"annotation": "kept"}}))
    collection = Collection(1)

    collect([Worker(Annotator(), Service(server.url, "t", patience=20), "desk", collection)])

    assert [(one.annotation, one.counted) for one in collection.answers] == [("kept", None)]


# --- answers and figures -----------------------------------------------------------------------------


def test_an_answer_says_what_the_task_asks_and_no_more() -> None:
    pair = _pairs(1)[0]
    judged = Annotator().judge(pair.prompt, pair.text_a, pair.text_b)

    plain = answer(judged, {"dimensions": [], "asks_reason": False})
    full = answer(judged, {"dimensions": ["truthful", "unknown"], "asks_reason": True})

    assert set(plain) <= {"outcome", "choice", "strength"}
    assert list(full["dimensions"]) == ["truthful"] and full["dimensions"]["truthful"] in ("a", "b", "same")
    assert full["reason"]


def test_the_win_rate_counts_ties_half_and_its_interval_whole_prompts() -> None:
    good, bad = "Hello! Sorry about your router. Please check the cable. Thank you.", "You are lazy."
    prompts = [prompt.text for prompt in world.prompts()[:6]]

    def of(*texts: str) -> list[Sampled]:
        return [Sampled(prompt, text, True) for prompt, text in zip(prompts, texts, strict=True)]

    even = measure.win_rate(of(*[good] * 6), of(*[good] * 6))
    won = measure.win_rate(of(*[good] * 6), of(*[bad] * 6))
    half = measure.win_rate(of(good, good, good, bad, bad, bad), of(bad, bad, bad, good, good, good))

    assert (even["rate"], even["low"], even["high"]) == (0.5, 0.5, 0.5)
    assert (won["rate"], won["low"]) == (1.0, 1.0)
    assert half["rate"] == 0.5 and half["low"] < 0.25 and half["high"] > 0.75
    with pytest.raises(ValueError, match="different prompts"):
        measure.win_rate(of(*[good] * 6), of(*[bad] * 6)[:3])


def test_the_ceiling_is_what_the_raters_are_worth() -> None:
    pairs = _pairs(600)
    rater = Annotator(name="ada")
    answers = [
        Acknowledged(
            annotator="ada",
            annotation="",
            assignment="",
            counted=True,
            prompt=pair.prompt,
            texts={"a": pair.text_a, "b": pair.text_b},
            outcome=rater.judge(pair.prompt, pair.text_a, pair.text_b).outcome,
        )
        for pair in pairs
    ]

    quality = measure.label_quality(answers, [rater])

    ceiling, measured = quality["ceiling"], quality["measured"]
    assert ceiling is not None and 0.78 < ceiling < 0.88, "careful raters: 0.83"
    assert measured is not None and abs(measured - ceiling) < 0.06
    assert quality["labels"] == sum(one.outcome in ("a", "b") for one in answers)
    assert measure.label_quality([], [rater])["ceiling"] is None


# --- a turn ------------------------------------------------------------------------------------------


def _turn(comparisons: int) -> Turn:
    return Turn(Plan("desk", comparisons), Service("http://localhost:1", ""), lambda _: [], lambda *_: None, print)


def test_a_turn_asks_for_enough_pairs_and_a_share_on_held_out_prompts() -> None:
    prompts = [PlaygroundAnswers(str(n), f"prompt {n}", "train" if n < 76 else "test") for n in range(96)]

    quotas = _turn(6000)._quotas(prompts)

    assert all(count % 2 == 0 for count in quotas.values()), "responses meet in pairs"
    pairs = {split: sum(quotas[one.id] // 2 for one in prompts if one.split == split) for split in ("train", "test")}
    assert 6000 * 1.06 <= sum(pairs.values()) <= 6000 * 1.1
    assert 0.14 < pairs["test"] / sum(pairs.values()) < 0.16
    assert set(_turn(1)._quotas(prompts).values()) == {2}


@pytest.mark.parametrize("met", [True, False])
def test_a_figure_that_is_missed_is_named_and_the_report_is_written_all_the_same(
    live_server: Any, desk: Project, met: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(turn: Turn) -> None:
        turn._check("win_rate_low", 0.7 if met else 0.5, "above 0.62", met)

    monkeypatch.setattr(Turn, "run", run)
    out = StringIO()
    arguments = ("simulate", "--turn", "--url", live_server.url, "--project", "desk", "--annotators", "1")

    if met:
        call_command(*arguments, stdout=out, stderr=StringIO())
    else:
        with pytest.raises(CommandError, match=r"missed: win_rate_low is 0\.5, needs above 0\.62"):
            call_command(*arguments, stdout=out, stderr=StringIO())

    assert [check["met"] for check in json.loads(out.getvalue())["checks"]] == [met]


def test_a_turn_that_cannot_go_on_says_why(live_server: Any, desk: Project) -> None:
    """Nothing serves here and there is no corpus: the service refuses to train, and its sentence is passed on."""
    out = StringIO()

    with pytest.raises(CommandError, match="no corpus"):
        call_command(
            *("simulate", "--turn", "--url", live_server.url, "--project", "desk", "--annotators", "1"),
            stdout=out,
            stderr=StringIO(),
        )

    assert "no corpus" in json.loads(out.getvalue())["error"]
