"""The proof of the loop, short: the story with a trainer's results written by the test, its claims, its page.

The proof itself is `make prove-loop`.
"""

import threading
from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest
from django.db import connection

from feedback.models import Chain, Contest, Deployment, ModelVersion, Person, Project, Prompt, Response
from feedback.services.collection import generation
from feedback.services.platform import projects
from feedback.services.registry import model_versions
from feedback.services.training import pipelines
from tests.evaluation.test_gate import SOUND
from tests.factories import make_model, make_prompt, make_response, make_task
from tests.furnish import finish
from workers import housekeeping
from workers.demo.annotators import crowd, sample_pairs
from workers.demo.client import Service
from workers.demo.loop.claims import Claim, claims
from workers.demo.loop.page import page
from workers.demo.loop.story import HACKED, LoopFailed, LoopPlan, Story
from workers.demo.loop.traffic import Traffic
from workers.demo.simulation import Collection, Worker
from workers.demo.world import parse_prompt, sample_reply
from workers.demo_commands import simulate

ROUNDS, LABELS, CAP = 3, 6, 24


class World:
    """The clock, the trainer and the models, as far as the story sees them: each version is as good as it should be."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.over = threading.Event()
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.wait(0.15):
                housekeeping.tick()
                housekeeping.sweep()
                for chain in Chain.objects.filter(project=self.project, state="active"):
                    self._train(chain)
                for response in Response.objects.filter(state=Response.State.QUEUED).select_related("prompt"):
                    self._write(response)
        except Exception as error:  # noqa: BLE001 - asserted by the fixture
            self.failure = error
        finally:
            connection.close()

    def _train(self, chain: Chain) -> None:
        for stage in chain.stages:
            run = chain.runs.get(stage=stage)
            if stage == "evaluate":
                metrics = deepcopy(SOUND)
                if chain.config.get("ppo"):
                    metrics["policy"] |= {"kl": 80.0, "entropy": 0.01}
                pipelines.record_evaluation(run, metrics=metrics, samples=[])
            finish(run, {"loss": 1.0}, steps=2)

    def _write(self, response: Response) -> None:
        waiting = Response.objects.filter(pk=response.pk, state=Response.State.QUEUED)
        if not waiting.update(state=Response.State.RUNNING):
            return
        asked = parse_prompt(response.prompt.text)
        assert asked is not None
        text = sample_reply(Random(response.pk), asked, self._quality(response.model_version)).text
        generation.finish_response(response, text=text, finish_reason="stop", tokens=9, prompt_tokens=7)

    def _quality(self, version: ModelVersion | None) -> float:
        assert version is not None and version.run is not None
        if version.stage != "ppo":
            return 0.2  # the first policy
        return 0.0 if version.run.chain.config.get("ppo") else 0.95


@pytest.fixture
def desk(hana: Person, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Some tasks about the demo world, and a first policy that serves."""
    monkeypatch.setattr("workers.demo.loop.story.LOOK", 0.15)
    monkeypatch.setattr("workers.demo.loop.story.VOTING_PACE", 0.2)
    policy = {"keep_open_tasks": 8}
    project = projects.open_project(
        by=hana, name="Desk", slug="desk", dimensions=["helpful"], training_policy=policy, annotations_per_task=1
    )
    projects.set_member(by=hana, project=project, person=hana, role="admin")
    make_model(project, hana, stage="pretrain", serve=True)
    make_model(project, hana, stage="sft")
    for pair in sample_pairs(seed=1, n=8):
        prompt = make_prompt(project, pair.prompt)
        make_task(project, prompt, responses=[make_response(prompt, text) for text in (pair.text_a, pair.text_b)])
    Prompt.objects.filter(project=project).update(split="train")
    return project


@pytest.fixture
def world(desk: Project) -> Iterator[World]:
    made = World(desk)
    thread = threading.Thread(target=made.run)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        thread.join()
    if made.failure is not None:
        raise made.failure


def story(url: str, desk: Project, admin: Person, **plan: Any) -> Story:
    """A crowd of four, none of them bad, and customers who write quickly."""

    def come(collection: Collection) -> list[Worker]:
        workers = []
        for number, annotator in enumerate(crowd(4, seed=0), 1):
            _, key = simulate.new_token(simulate.person(desk, number), desk, ["read", "annotate"])
            workers.append(Worker(annotator, Service(url, key), desk.slug, collection, idle=60))
        return workers

    def service(key: tuple[Any, str]) -> Service:
        return Service(url, key[1])

    chosen = {"rounds": ROUNDS, "labels": LABELS, "budget": 1000, "cap": CAP} | plan
    return Story(
        plan=LoopPlan(project=desk.slug, **chosen),
        admin=service(simulate.new_token(admin, desk, ["read", "annotate", "submit", "data", "train", "admin"])),
        people=come,
        customers=Traffic(service(simulate.customers_token(desk)), desk.slug, per_minute=2400),
        say=lambda text: None,
    )


@pytest.mark.django_db(transaction=True)
def test_what_is_better_is_promoted_and_what_is_planted_is_not(
    live_server: Any, desk: Project, world: World, hana: Person
) -> None:
    told = story(live_server.url, desk, hana)
    told.run()

    decisions = [one["decision"] for one in told.report["campaign"]["rounds"] if one["state"] == "decided"]
    assert "promoted" in decisions and len(decisions) >= ROUNDS
    hacked, copy = told.planted["without KL"], told.planted["copy"]
    assert {"kl_budget", "entropy"} <= {one["name"] for one in hacked.refused} and not copy.refused
    assert Contest.objects.get(public_id=hacked.contest).decision == "give_up"
    assert Contest.objects.get(public_id=hacked.contest).plan.preconditions == "report"
    assert Contest.objects.get(public_id=copy.contest).decision in ("give_up", "cap")
    assert Chain.objects.get(public_id=hacked.chain).config == {"ppo": HACKED}
    twin = Chain.objects.get(public_id=copy.chain)
    pattern = ModelVersion.objects.get(public_id=copy.of).run
    assert pattern is not None
    assert twin.stages == ["reward", "ppo", "evaluate"] and twin.base_model == pattern.base_model
    assert (twin.seed, twin.snapshot, twin.config) == (pattern.seed, pattern.snapshot, {})
    begun = Deployment.objects.filter(project=desk).order_by("pk")[1]
    assert begun.model_version.stage == "sft" and "SFT" in begun.override_reason
    served = model_versions.serving(desk)
    assert served is not None and str(served.public_id) not in (hacked.model, copy.model)
    assert told.report["campaign"]["state"] == "ended"
    assert 0 < told.report["campaign"]["used"] <= told.report["crowd"]["comparisons"]
    assert all(unit.round == 0 for one in Contest.objects.all() for unit in one.units.all()), "on fresh prompts only"


@pytest.mark.django_db(transaction=True)
def test_a_campaign_that_ends_early_is_told(live_server: Any, desk: Project, world: World, hana: Person) -> None:
    with pytest.raises(LoopFailed, match="The campaign is ended early"):
        story(live_server.url, desk, hana, budget=CAP + LABELS).run()


# --- claims and page -------------------------------------------------------------------------------------


def gold(value: float) -> dict[str, Any]:
    return {"held_out": {"gold": value}, "customers": {"gold": value}}


def finding(name: str) -> dict[str, str]:
    return {"name": name, "sentence": f"{name} speaks against it."}


def round_of(number: int, decision: str, candidate: str, serves: str) -> dict[str, Any]:
    return {
        "number": number,
        "state": "decided",
        "decision": decision,
        "reason": "",
        "labels": {"random": 1400, "arena": 60},
        "candidate": candidate,
        "serves": serves,
        "evidence": {"votes": 60, "e": 31.0},
        "training_seconds": 200.0,
        "cpu_seconds": 190.0,
        "people_seconds": 9000.0,
    }


def contest_of(name: str, candidate: str, decision: str) -> dict[str, Any]:
    return {
        "id": name,
        "decision": decision,
        "state": "decided",
        "incumbent": "B",
        "candidates": [{"id": candidate}],
        "findings": [finding("kl")],
        "figures": {"votes": 40, "standings": [{"sentence": "not better: 12 % <of> 40"}]},
    }


@pytest.fixture
def report() -> dict[str, Any]:
    """A seed's report about which every claim holds."""
    return {
        "seed": 4,
        "campaign": {
            "rounds": [
                round_of(1, "promoted", "B", "B"),
                round_of(2, "kept", "C", "B"),
                round_of(3, "promoted", "D", "D"),
                round_of(4, "kept", "E", "D"),
            ]
        },
        "crowd": {"comparisons": 7400},
        "planted": {
            "without KL": {"contest": "x", "refused": [finding("kl"), finding("entropy")]},
            "copy": {"contest": "y", "refused": [], "identical": True},
        },
        "contests": [contest_of("x", "F", "give_up"), contest_of("y", "G", "cap")],
        "versions": [{"id": letter, "short": f"v{place}"} for place, letter in enumerate("ABCDEFG", 1)],
        "served": [{"name": "v1"}, {"name": "v2"}, {"name": "v4"}],
        "gold": {f"v{place}": gold(value) for place, value in enumerate((1.4, 2.9, 2.8, 3.1, 3.0, -2.0, 2.9), 1)},
        "bad_annotators": ["Simulated 7", "Simulated 8"],
        "quality": {"findings": [{"person": {"name": f"Simulated {one}"}} for one in (7, 8)]},
        "explained": [{"what": "round 1", "sentence": "promoted", "on_page": True}],
        "cpu_seconds": {"web": 120.0, "worker of train": 900.0},
        "seconds": {"first models": 120.0, "rounds": 1500.0},
    }


def failed(report: dict[str, Any]) -> list[Claim]:
    return [one for one in claims(report) if not one.holds]


def test_a_report_in_which_all_claims_hold(report: dict[str, Any]) -> None:
    assert not failed(report) and len(claims(report)) == 10


@pytest.mark.parametrize(
    ("path", "value", "name", "figure"),
    [
        (("campaign", "rounds", 3, "state"), "failed", "rounds", "3"),
        (("crowd", "comparisons"), 8001, "annotations", "8,001"),
        (("planted", "without KL", "refused"), [], "refused", "not refused"),
        (("contests", 0, "decision"), "promote", "votes on without KL", "promote after 40 votes"),
        (("contests", 1, "decision"), "stopped", "votes on copy", "stopped after 40 votes"),
        (("planted", "copy", "identical"), False, "identical", "false"),
        (("gold", "v2", "held_out", "gold"), 3.21, "falls", "1.40 → 3.21 → 3.10"),
        (("quality", "findings"), [{"person": {"name": "Simulated 8"}}], "named", "1 of 2, and 0 others"),
        (("explained", 0, "on_page"), False, "explained", "0 of 1"),
    ],
)
def test_each_claim_can_fail(
    report: dict[str, Any], path: tuple[str | int, ...], value: Any, name: str, figure: str
) -> None:
    place: Any = report
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert [(one.name, one.value) for one in failed(report)] == [(name, figure)]


def test_what_serves_in_the_end_must_be_worth_enough(report: dict[str, Any]) -> None:
    report["gold"]["v4"] = gold(2.99)
    assert [one.name for one in failed(report)] == ["end"]


def test_of_a_run_that_ended_without_figures_no_claim_holds() -> None:
    assert len(failed({"seed": 4, "error": "It ended without a report."})) == 10


def test_the_page_shows_the_staircase_and_every_decision(report: dict[str, Any]) -> None:
    shown = page({"seeds": [report, {"seed": 5, "error": "It <broke>."}], "wall_seconds": 3000.0})
    assert "10 of 20 claims hold" in shown and shown.count("<svg") == 1 and "50 minutes" in shown
    assert "not better: 12 % &lt;of&gt; 40" in shown and "It &lt;broke&gt;." in shown
    assert "v6 (without KL)" in shown and "v7 (copy)" in shown and "kl speaks against it." in shown
    assert shown.count("200 s (190 s of CPU)") == 4 and "<script" not in shown
