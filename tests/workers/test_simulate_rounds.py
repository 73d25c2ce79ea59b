"""`manage.py simulate --rounds`: a crowd judges over HTTP while a campaign collects, trains and decides."""

import threading
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection

from feedback.models import Campaign, Chain, Person, Project
from feedback.services.platform import projects
from feedback.services.training import campaigns
from tests.factories import make_model, make_prompt, make_response, make_task
from tests.training.campaign_story import STAGES, train
from tests.workers.test_simulation import simulate
from workers import housekeeping
from workers.demo.annotators import sample_pairs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(hana: Person, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Twelve tasks about the demo world, and a policy that serves."""
    monkeypatch.setattr("workers.demo.rounds.LOOK", 0.1)
    project = projects.open_project(by=hana, name="Desk", slug="desk", dimensions=["helpful"])
    projects.set_member(by=hana, project=project, person=hana, role="admin")
    make_model(project, hana, stage="pretrain", serve=True)
    for pair in sample_pairs(seed=1, n=12):
        prompt = make_prompt(project, pair.prompt)
        make_task(project, prompt, responses=[make_response(prompt, text) for text in (pair.text_a, pair.text_b)])
    return project


def test_a_round_ends_while_the_crowd_judges(live_server: Any, desk: Project) -> None:
    over = threading.Event()

    def clock_and_trainer() -> None:
        try:
            while not over.wait(0.05):
                housekeeping.tick()
                for chain in Chain.objects.filter(project=desk, kind="+".join(STAGES), state="active"):
                    train(chain)
        finally:
            connection.close()

    thread = threading.Thread(target=clock_and_trainer)
    thread.start()
    try:
        arguments = ("--rounds", "1", "--annotators", "2", "--comparisons", "8", "--wait", "60")
        report, told = simulate(live_server.url, *arguments)
    finally:
        over.set()
        thread.join()
    first = report["campaign"]["rounds"][0]
    assert (first["number"], first["state"], first["decision"]) == (1, "decided", "refused")
    assert first["labels"]["given"] >= 8 and report["crowd"]["comparisons"] >= 8
    assert "round 1: " in told and "of 8 labels" in told
    assert Campaign.objects.get().plan["after_labels"] == 8


def test_a_paused_campaign_is_told(live_server: Any, desk: Project, hana: Person) -> None:
    campaign = campaigns.create_campaign(
        by=hana, project=desk, name="Nightly", stages=STAGES, after_labels=500, budget=9000
    )

    def pause() -> None:
        campaigns.pause(by=hana, campaign=campaign)
        connection.close()

    stop = threading.Timer(1.0, pause)
    stop.start()
    with pytest.raises(CommandError, match="The campaign is paused after 0 rounds"):
        simulate(live_server.url, "--rounds", "1", "--annotators", "1", "--comparisons", "8", "--wait", "60")
    stop.join()
