"""The course: everybody finds every stage in three depths, tries a text, practices terms, and takes a quiz."""

import re
from html import unescape
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles import finders

from feedback.models import CardProgress, Learner, Person, Project, QuizResult
from feedback.rules.platform.glossary import TERMS
from feedback.rules.platform.learn.course import COURSE, STAGE_OF_STATION
from feedback.rules.platform.learn.stage import DEPTHS, LearnStage
from feedback.web.platform.pipeline_stages import STATIONS
from tests.data.test_tokenizers import tokenizer, version

KEYS = [stage.key for stage in COURSE]
MOST_WORDS = 32  # of a sentence


def chosen(client: Any, depth: str) -> None:
    reply = client.post("/learn/depth/", {"depth": depth, "next": "/learn/rlhf/"})
    assert (reply.status_code, reply["Location"]) == (302, "/learn/rlhf/")


def page_of(client: Any, path: str) -> str:
    reply = client.get(path)
    assert reply.status_code == 200, path
    html: str = reply.content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style\b|\sstyle=|\son\w+=", html)
    return html


def test_every_stage_is_there_in_every_depth(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    for who, depth in ((ben, "basic"), (ada, "medium"), (ben, "detailed")):
        client = signed_in(who)
        chosen(client, depth)
        for place, stage in enumerate(COURSE):
            html = page_of(client, f"/learn/{stage.key}/?project=desk")
            assert re.findall(r'value="(\w+)" aria-pressed="true"', html) == [depth]
            assert f"<h1>{stage.title}</h1>" in html
            text = unescape(html[html.index("learn-text") :])
            shown = stage.paragraphs(depth)  # type: ignore[arg-type]
            assert all(paragraph in text for paragraph in shown)
            others = {one for other in DEPTHS for one in stage.paragraphs(other)} - set(shown)
            assert not any(paragraph in text for paragraph in others)
            for term in stage.terms:
                assert f'href="/glossary/#{term}"' in html
            after = COURSE[place + 1].key if place + 1 < len(COURSE) else ""
            assert (f'href="/learn/{after}/?project=desk"' if after else 'href="/learn/?project=desk"') in html


def test_the_depth_is_the_persons_and_stays(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    chosen(signed_in(ada), "detailed")
    assert 'value="detailed" aria-pressed="true"' in page_of(signed_in(ada), "/learn/")
    assert 'value="basic" aria-pressed="true"' in page_of(signed_in(ben), "/learn/")
    assert signed_in(ada).post("/learn/depth/", {"depth": "abyssal"}).status_code == 400
    elsewhere = signed_in(ada).post("/learn/depth/", {"depth": "basic", "next": "https://evil.example/"})
    assert elsewhere["Location"] == "/learn/"
    assert Learner.objects.get().depth == "basic"


def test_the_path_shows_the_project_that_is_chosen(
    project: Project, other_project: Project, hana: Person, ben: Person, dan: Person, signed_in: Any
) -> None:
    html = page_of(signed_in(hana), "/learn/?project=elsewhere")
    assert "data and models of Elsewhere" in html and '<option value="elsewhere" selected>' in html
    assert [key for key in KEYS if f'href="/learn/{key}/?project=elsewhere"' not in html] == []
    html = page_of(signed_in(ben), "/learn/?project=elsewhere")
    assert "Elsewhere" not in html, "it is no project of his"
    stranger = Person.objects.create_user("eve", None, display_name="Eve")
    html = page_of(signed_in(stranger), "/learn/pretraining/")
    assert "You are not a member of a project yet" in html and "Support desk" not in html


def test_those_who_judge_are_not_told_how_the_candidate_does(
    project: Project, ada: Person, ben: Person, signed_in: Any
) -> None:
    assert "<dt>Gate</dt>" in page_of(signed_in(ada), "/learn/evaluation/")
    assert "<dt>Gate</dt>" not in page_of(signed_in(ben), "/learn/evaluation/")


def test_explain_on_the_home_page_leads_to_the_stage(project: Project, ada: Person, signed_in: Any) -> None:
    html = page_of(signed_in(ada), "/p/desk/")
    for station in STATIONS:
        assert f'href="/learn/{STAGE_OF_STATION[station.key]}/?project=desk"' in html
    assert 'href="/learn/?project=desk"' in html, "the navigation has it, too"


def test_what_a_stage_says_is_complete_and_short() -> None:
    assert {station.key for station in STATIONS} == set(STAGE_OF_STATION)
    for stage in COURSE:
        assert stage.title.endswith("?") and set(stage.terms) <= set(TERMS), stage.key
        assert len(stage.quiz) == 5
        for question in stage.quiz:
            assert 3 <= len(set(question.choices)) <= 4 and 0 <= question.right < len(question.choices)
            assert question.reason
        assert [len(stage.paragraphs(depth)) for depth in DEPTHS] == [3, 3, 3]
        assert len(longest_sentence(stage).split()) <= MOST_WORDS, longest_sentence(stage)


def longest_sentence(stage: LearnStage) -> str:
    texts = [stage.lead, stage.everyday, *stage.basic, *stage.medium, *stage.detailed]
    texts += [text for question in stage.quiz for text in (question.text, question.reason)]
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.?!:])\s", text)]
    return max(sentences, key=lambda sentence: len(sentence.split()))


@pytest.mark.parametrize("key", KEYS)
def test_every_stage_has_its_box(key: str) -> None:
    templates = Path(str(finders.find("feedback/learn.css"))).parents[2] / "templates"
    assert (templates / f"feedback/platform/learn/boxes/{key}.html").is_file()
    assert finders.find(f"feedback/learn/{key.replace('-', '_')}.js")


def test_a_quiz_is_scored_and_its_newest_result_shown(project: Project, ben: Person, signed_in: Any) -> None:
    client = signed_in(ben)
    right = [question.right for question in COURSE[1].quiz]
    address = "/learn/tokenization/quiz/"

    def send(answers: Any) -> Any:
        return client.post(address, {"answers": answers}, content_type="application/json")

    reply = send([*right[:4], (right[4] + 1) % 3])
    assert (reply.status_code, reply.json()) == (200, {"right": 4, "questions": 5})
    for unfinished in (right[:4], [*right[:4], 9], "all of them", [*right[:4], None]):
        assert send(unfinished).status_code == 400
    assert client.post("/learn/cooking/quiz/", {"answers": right}, content_type="application/json").status_code == 404
    assert QuizResult.objects.count() == 1
    assert "Your last result: 4 of 5." in page_of(client, "/learn/tokenization/")
    assert "Quiz 4 of 5" in page_of(client, "/learn/")


def test_flash_cards_remember_what_each_person_knew(project: Project, ada: Person, ben: Person, signed_in: Any) -> None:
    client = signed_in(ben)
    for term, known in (("kl", True), ("ppo", False), ("kl", True)):
        reply = client.post(f"/learn/cards/{term}/", {"known": known}, content_type="application/json")
        assert reply.status_code == 200
    assert reply.json() == {"known": 1} and CardProgress.objects.count() == 2
    assert client.post("/learn/cards/magic/", {"known": True}, content_type="application/json").status_code == 404
    order = re.findall(r'data-card="(\w+)"', page_of(client, "/learn/cards/"))
    assert (order[0], order[-1], len(order)) == ("ppo", "kl", len(TERMS))
    of_stage = re.findall(r'data-card="(\w+)"', page_of(client, "/learn/cards/?stage=rlhf"))
    assert set(of_stage) == set(COURSE[8].terms)
    assert "You know 0 of" in page_of(signed_in(ada), "/learn/")
    assert client.get("/learn/cards/kl/").status_code == 405


def test_a_text_is_split_by_the_projects_own_tokenizer(
    project: Project, ada: Person, ben: Person, dan: Person, signed_in: Any, tmp_path: Path
) -> None:
    client = signed_in(ben)

    def split(text: Any) -> Any:
        return client.post("/p/desk/learn/tokens/", {"text": text}, content_type="application/json")

    before = split("I love AI").json()
    assert (before["words"], before["states"], before["subwords"]) == (["I", "love", "AI"], [], [])
    version(project, ada, tokenizer(tmp_path / "a", 300))
    found = split("low lower").json()
    assert found["characters"] == list("low lower") and found["words"] == ["low", "lower"]
    first, last = found["states"][0], found["states"][-1]
    assert (first["rank"], first["pair"], first["pieces"]) == (0, None, list("low lower"))
    assert last["pieces"] == found["subwords"], "applying all merges gives the tokens"
    for earlier, later in pairwise(found["states"]):
        assert earlier["rank"] < later["rank"] <= found["merges"]
        assert len(later["pieces"]) < len(earlier["pieces"]) and "".join(later["pair"]) in later["pieces"]
    assert split("🐙").json()["states"][0]["pieces"] == ["F0", "9F", "90", "99"]
    assert (split("").status_code, split("x" * 201).status_code, split(7).status_code) == (200, 400, 400)
    reply = signed_in(dan).post("/p/desk/learn/tokens/", {"text": "low"}, content_type="application/json")
    assert reply.status_code == 404
