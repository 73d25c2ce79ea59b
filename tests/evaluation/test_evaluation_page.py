"""The report of an evaluation: win rates raw and at equal lengths, accuracy against its ceiling, calibration."""

from typing import Any
from uuid import uuid4

import pytest

from feedback.models import Evaluation, ModelVersion, Person, Project
from feedback.rules.quality.agreement import Agreement
from feedback.selectors.evaluation import evaluations
from tests.factories import make_model

METRICS: dict[str, Any] = {
    "split": "test",
    "reward_model_win_rate": {"value": 0.71, "low": 0.64, "high": 0.78, "prompts": 38, "judge": "reward_model"},
    "length_controlled_win_rate": {"value": 0.55, "low": 0.47, "high": 0.63, "prompts": 38, "per_sd": 1.2},
    "policy": {
        "reward": 1.2,
        "kl": 2.9,
        "entropy": 1.4,
        "eos_rate": 0.98,
        "length": 14.2,
        "repetition": 0.02,
        "distinct": 0.9,
        "lengths": [{"from": 0, "to": 10, "completions": 30}, {"from": 10, "to": 20, "completions": 84}],
    },
    "incumbent": {
        "reward": 0.2,
        "entropy": 1.9,
        "eos_rate": 0.9,
        "length": 9.1,
        "lengths": [{"from": 0, "to": 10, "completions": 90}, {"from": 10, "to": 20, "completions": 24}],
    },
    "reward_model": {
        "accuracy": 0.7,
        "accuracy_low": 0.65,
        "accuracy_high": 0.75,
        "pairs": 120,
        "accuracy_by_strength": {"0": 0.55, "3": 0.9},
        "pairs_by_strength": {"0": 40, "3": 80},
        "calibration_error": 0.04,
        "reliability": [
            {"predicted": 0.55, "observed": 0.5, "pairs": 40},
            {"predicted": 0.85, "observed": 0.9, "pairs": 80},
        ],
    },
    "held_out_texts": {
        "demonstrations": {
            "policy": {"texts": 12, "left_out": 0, "perplexity": 3.5, "bits_per_byte": 0.61},
            "incumbent": {"texts": 12, "left_out": 0, "perplexity": 3.25, "bits_per_byte": 0.59},
        },
        "documents": {"pretrained": {"texts": 40, "perplexity": 9.75, "bits_per_byte": 1.22}},
    },
    "prompts": 38,
}


@pytest.fixture
def evaluation(project: Project, ada: Person) -> Evaluation:
    return Evaluation.objects.create(
        project=project,
        candidate=make_model(project, ada),
        incumbent=make_model(project, ada),
        metrics=METRICS,
        samples=[{"prompt": "Slow.", "model": "candidate", "text": "<script>alert(1)</script> **Restart**"}],
    )


def address(evaluation: Evaluation, end: str = "/") -> str:
    return f"/p/desk/models/evaluations/{evaluation.public_id}{end}"


def test_the_report_in_pictures(evaluation: Evaluation, ada: Person, signed_in: Any) -> None:
    page = signed_in(ada).get(address(evaluation)).content.decode()
    for told in ("71.0 %", "55.0 %", "at equal length", "70.0 %", "Calibration error 4.0 %", "significantly better"):
        assert told in page, told
    assert "Predicted and observed probabilities: predicted 55%, observed 50%" in page
    assert "Candidate: 0 to 9 tokens 26%, 10 to 19 tokens 74%" in page
    assert "<script>alert" not in page and "<strong>Restart</strong>" in page
    assert "the ceiling is unknown too" in page, "nobody has judged anything here"


def test_perplexity_stands_beside_that_of_the_incumbent_and_of_the_beginning(
    evaluation: Evaluation, ada: Person, signed_in: Any
) -> None:
    page = signed_in(ada).get(address(evaluation)).content.decode()
    assert page.index("Demonstrations") < page.index("3.50") < page.index("3.25") < page.index("9.75")
    assert "Pretrained model" in page and page.count("Held out texts") == 0


def test_whose_judgment_it_knows(evaluation: Evaluation, ada: Person, ben: Person, signed_in: Any) -> None:
    figure = {"pairs": 30, "accuracy": 0.8, "low": 0.63, "high": 0.9}
    told: dict[str, Any] = {"annotators": [{"annotator": str(ben.public_id), "held_out": False, **figure}]}
    told |= {"held_out": None, "others": {"annotators": 1, **figure}}
    Evaluation.objects.update(metrics=METRICS | {"reward_model": METRICS["reward_model"] | {"by_annotator": told}})
    page = signed_in(ada).get(address(evaluation)).content.decode()
    assert "Freeze the next snapshot with held-out annotators" in page and "Held-out annotators (" not in page
    told["annotators"] += [{"annotator": str(uuid4()), "held_out": True, **figure, "accuracy": 0.6}]
    told["held_out"] = {"annotators": 1, **figure, "accuracy": 0.6}
    Evaluation.objects.update(metrics=METRICS | {"reward_model": METRICS["reward_model"] | {"by_annotator": told}})
    page = signed_in(ada).get(address(evaluation)).content.decode()
    assert (
        page.index("Held-out annotators (1)") < page.index("60.0 %") < page.index("Annotators in the training data (1)")
    )
    assert page.index("Erased annotator<span>, held out") < page.index(f"annotator={ben.public_id}")


def test_the_report_as_json(evaluation: Evaluation, ada: Person, signed_in: Any) -> None:
    told = signed_in(ada).get(address(evaluation, ".json")).json()
    assert told["metrics"] == METRICS and told["samples"] == evaluation.samples


def test_the_ceiling_follows_from_how_often_two_people_say_the_same(evaluation: Evaluation) -> None:
    """Two who are each right in 9 of 10 say the same in 82 of 100."""
    assert evaluations.ceiling(0.82) == pytest.approx(0.9)
    assert evaluations.ceiling(1.0) == 1.0
    assert evaluations.ceiling(0.5) is None and evaluations.ceiling(None) is None
    report = evaluations.report(evaluation, Agreement(units=50, raw=0.82, alpha=0.6))
    assert report.ceiling == pytest.approx(0.9)
    assert [(one.label, one.n) for one in report.strengths] == [("negligibly better", 40), ("significantly better", 80)]


def test_an_evaluation_of_little_shows_what_there_is(evaluation: Evaluation, ada: Person, signed_in: Any) -> None:
    Evaluation.objects.update(metrics={"policy": {"length": 3.0}}, samples=[], incumbent=None)
    page = signed_in(ada).get(address(evaluation)).content.decode()
    assert "Response statistics" in page and "Does it win?" not in page and "Calibration</h2>" not in page


def test_reports_are_for_admins_of_the_project(
    evaluation: Evaluation, rosa: Person, dan: Person, signed_in: Any, other_project: Project, hana: Person
) -> None:
    assert signed_in(rosa).get(address(evaluation)).status_code == 403
    assert signed_in(dan).get(address(evaluation, ".json")).status_code == 404
    there = address(evaluation).replace("/p/desk/", f"/p/{other_project.slug}/")
    assert signed_in(hana).get(there).status_code == 404


def test_a_classifier_tells_what_it_takes_for_what(project: Project, ada: Person, signed_in: Any) -> None:
    model = make_model(project, ada)
    metrics = {
        "test_macro_f1": 0.7,
        "test_per_class": {
            "spam": {"precision": 0.9, "recall": 0.8, "f1": 0.85, "support": 10},
            "ham": {"precision": 0.9, "recall": 0.95, "f1": 0.92, "support": 40},
        },
        "test_confusion": {"spam": {"spam": 8, "ham": 2}, "ham": {"ham": 39, "spam": 1}},
        "baseline": {"name": "TF-IDF", "macro_f1": 0.6, "per_class": {"spam": {"f1": 0.61}}},
    }
    ModelVersion.objects.filter(pk=model.pk).update(kind="classifier", metrics=metrics)
    page = signed_in(ada).get(f"/p/desk/models/{model.public_id}/").content.decode()
    assert "spam predicted as ham: 2" in page and page.index("spam predicted as ham") < page.index(
        "ham predicted as spam"
    )
    assert '<th scope="row">ham</th><td class="n shade-4">39</td><td class="n shade-0">1</td>' in page
    assert "61.0 %" in page and "Test confusion" not in page
    many = {f"class_{n}": {f"class_{n}": 3} for n in range(17)}
    per_class = {name: {"precision": 1, "recall": 1, "f1": 1, "support": 3} for name in many}
    ModelVersion.objects.filter(pk=model.pk).update(metrics={"test_per_class": per_class, "test_confusion": many})
    page = signed_in(ada).get(f"/p/desk/models/{model.public_id}/").content.decode()
    assert "class 16" in page and 'class="matrix"' not in page, "a page has no room for seventeen columns"


def test_which_model_kl_is_measured_from_is_told_in_words(evaluation: Evaluation, ada: Person, signed_in: Any) -> None:
    client = signed_in(ada)
    pages = [address(evaluation), f"/p/desk/models/{evaluation.candidate.public_id}/"]
    for measured_from, label in (("reference", "KL to the reference"), ("incumbent", "KL to the previous version")):
        evaluation.metrics = METRICS | {"policy": METRICS["policy"] | {"kl_to": measured_from}}
        evaluation.save(update_fields=["metrics"])
        for page in pages:
            shown = client.get(page).content.decode()
            assert label in shown and "Kl to" not in shown and "kl_to" not in shown


def test_a_model_without_a_figure_is_named_once_on_the_home_page(project: Project, ada: Person, signed_in: Any) -> None:
    make_model(project, ada, stage="reward")
    tile = signed_in(ada).get("/p/desk/").content.decode().split('id="station-reward"')[1].split("</li>")[0]
    assert tile.count("reward v1") == 1 and "no metric yet" in tile
