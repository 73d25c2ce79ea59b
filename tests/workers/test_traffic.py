"""Customers who write while a service runs: prompts that no model can have met, over REST."""

from itertools import islice
from typing import Any

import pytest

from feedback.models import ApiToken, Contest, ContestPlan, Person, Project, Prompt, Response
from feedback.selectors.evaluation import contest_prompts
from feedback.services.collection import prompts as prompt_service
from feedback.services.evaluation import contests
from feedback.services.evaluation.contests import Rules
from feedback.services.platform import projects
from tests.factories import make_model, make_prompt, make_response, make_task
from tests.workers.test_simulation import simulate
from workers.demo import world
from workers.demo.annotators import crowd, sample_pairs
from workers.demo.corpus import documents
from workers.demo.demonstrations import demonstrations
from workers.demo.loop.traffic import SOURCE, texts
from workers.demo.utility import MAX_UTILITY, utility


def test_no_two_customers_write_the_same() -> None:
    everything = [text.casefold() for text in texts(0)]
    assert len(set(everything)) == len(everything) == 4_032
    assert list(islice(texts(0), 50)) == list(islice(texts(0), 50)) != list(islice(texts(1), 50))


def test_what_customers_ask_is_in_nothing_that_models_learn_from() -> None:
    trained, untrained = world.further_prompts()
    asked = {world.parse_prompt(text) for text in islice(texts(0), 300)}
    assert asked == set(untrained) and not asked & {*world.prompts(), *trained}
    learned = [one.text for one in documents(0, 1500, wide=True)]
    learned += [
        f"{one.prompt.text} {one.reply}" for one in demonstrations(0, 400, trained, vocabulary=world.WIDE) if one.reply
    ]
    for text in learned:
        for line in text.splitlines():
            assert not line.startswith("user: ") or world.parse_prompt(line) not in asked


def test_models_learn_every_word_that_customers_use() -> None:
    known = {word for one in documents(0, 1500, wide=True) for word in world.words(one.text)}
    assert {word for text in islice(texts(0), 300) for word in world.words(text)} <= known


def test_the_narrow_world_of_the_proof_knows_none_of_it() -> None:
    more = {*world.MORE_ITEMS, *world.MORE_FIXES, *(word for fix in world.MORE_FIXES.values() for word in fix)}
    assert len(world.prompts()) == 96
    assert not more & {word for one in documents(0, 1500) for word in world.words(one.text)}
    every_fix = world.EVERY_FIX.values()
    assert len({verb for verb, _ in every_fix}) == len({part for _, part in every_fix}) == len(every_fix) == 10


@pytest.mark.parametrize("text", list(islice(texts(3), 3)))
def test_answers_to_customers_can_be_judged(text: str) -> None:
    asked = world.parse_prompt(text)
    assert asked is not None
    right = f"Hello! Sorry about your {asked.item}. Please {asked.fix}. Thank you."
    wrong = right.replace(asked.item, "mixer" if asked.item != "mixer" else "drone")
    assert utility(text, right).total == MAX_UTILITY
    assert utility(text, wrong).total == MAX_UTILITY - 1.0 - 0.75
    judged = [one.judge(text, right, wrong).outcome for one in crowd(40, seed=3)]
    assert judged.count("a") > 30


@pytest.mark.django_db(transaction=True)
def test_a_comparison_finds_what_customers_wrote_meanwhile(live_server: Any, hana: Person) -> None:
    desk = projects.open_project(by=hana, name="Desk", slug="desk", dimensions=["helpful"])
    older = make_prompt(desk, next(texts(0)).upper())
    for pair in sample_pairs(seed=1, n=12):
        prompt = make_prompt(desk, pair.prompt)
        make_task(desk, prompt, responses=[make_response(prompt, text) for text in (pair.text_a, pair.text_b)])
    make_model(desk, hana, serve=True)
    candidate = make_model(desk, hana)

    arguments = ("--annotators", "1", "--comparisons", "10", "--seconds-per-task", "0.05", "--traffic", "1200")
    _, told = simulate(live_server.url, *arguments)

    came = list(Prompt.objects.filter(project=desk, source=SOURCE).order_by("pk"))
    assert len(came) >= 5 and f"{len(came)} prompts of customers were sent" in told
    assert [one.text for one in came] == list(islice(texts(0), len(came)))
    assert came[0].family == older.family
    assert not Response.objects.filter(prompt__in=came).exists(), "nobody answers them unless a contest asks"
    assert not ApiToken.objects.filter(revoked_at=None).exists()
    contest = _opened(desk, hana, candidate)
    fresh = contest_prompts.fresh(contest, contest.plan)
    assert [one.text for one in fresh] == [one.text for one in came[1:]], "an older prompt has the first one's words"
    again = prompt_service.submit_prompt(project=desk, by=hana, messages=came[1].messages, external_id="again")[0]
    assert again.family == came[1].family


def _opened(project: Project, by: Person, candidate: Any) -> Contest:
    rules = Rules(fresh_only=True, preconditions=ContestPlan.Preconditions.REPORT)
    return contests.open_contest(by=by, project=project, candidates=[candidate], rules=rules)
