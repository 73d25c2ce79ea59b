"""What the proof computes and demands, on figures worked by hand; and its page. The proof itself is `make prove`."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from workers.demo import proof
from workers.demo.proof_figures import Report, SeedFigures
from workers.demo.proof_report import page, scale
from workers.demo.prove import ARMS, ProofFailed, Seed, missed, prove
from workers.demo.snapshots import write_snapshot


def look(iteration: int, gold: float, proxy: float, kl: float) -> dict[str, Any]:
    return {"iteration": iteration, "gold": gold, "proxy": proxy, "kl": kl, "entropy": 0.5}


def report(*seeds: SeedFigures) -> Report:
    return {"seeds": list(seeds), "wall_seconds": 600.0, "cpu_seconds": 900.0, "configuration": {}}


@pytest.fixture
def figures() -> SeedFigures:
    """One seed's figures in which every demand is met."""
    hacked = [look(1, 1.2, 0.1, 0.1), look(10, 2.4, 1.0, 5.0), look(50, 1.0, 1.5, 40.0), look(100, 0.2, 1.9, 80.0)]
    calm = [look(1, 1.2, 0.1, 0.1), look(50, 2.5, 1.0, 2.0), look(100, 2.6, 1.1, 2.2)]
    best = {str(n): {"kl": proof.kl_of_best(n), "gold": 1.0 + 0.5 * math.log(n)} for n in (1, 4, 16, 64)}
    sample = {"iteration": 100, "prompt": "My <b>router</b> is hot.", "text": "Thanks & thanks.", "gold": -1.0}
    arm = {"sft_gold": 1.0, "samples": [sample], "kl": 2.2}
    made: Any = {
        "seed": 0,
        "gold": {"base": 0.2, "sft": 1.0, "dpo": 2.0, "kto": 1.9, "ppo": 2.6},
        "ended": {"base": 0.9, "sft": 1.0, "dpo": 0.99, "kto": 0.98, "ppo": 1.0},
        "best_of": best,
        "win_rate": {"low": 0.8},
        "ceiling": 0.83,
        "reward": [
            {"labels": 500, "accuracy": 0.55, "gold_order": 0.56, "ece": 0.2, "bins": []},
            {
                "labels": 6000,
                "accuracy": 0.74,
                "gold_order": 0.8,
                "ece": 0.04,
                "bins": [{"confidence": 0.7, "right": 0.72, "pairs": 10.0}],
            },
        ],
        "ppo": {**arm, "curve": calm, "alarms": {}},
        "hacked": {
            **arm,
            "curve": hacked,
            "alarms": {"entropy": 19, "kl_budget": 20},
            "gold": 0.2,
            "proxy": 1.9,
            "peak_gold": 2.4,
            "peak_proxy": 1.0,
            "entropy_share": 0.1,
        },
    }
    for name, form, points in (
        ("hacked", "rl", [(one["kl"], one["gold"] - 1.0) for one in hacked]),
        ("best", "best_of_n", [(one["kl"], one["gold"] - 1.0) for one in best.values()]),
    ):
        (made["hacked"] if name == "hacked" else made)["fit" if name == "hacked" else "best_of_fit"] = vars(
            proof.fit(form, points)
        )
    made["verdicts"] = proof.verdicts(made)
    return made


@pytest.mark.parametrize(("form", "peak"), [("rl", math.exp(2 * (1.2 / 0.5 - 1))), ("best_of_n", 1.44)])
def test_a_fit_finds_the_form_it_was_made_from(form: str, peak: float) -> None:
    made = proof.Fit(form, 1.2, 0.5, 1.0, None)
    fitted = proof.fit(form, [(kl, made.at(kl)) for kl in (0.0, 0.5, 2.0, 9.0, 40.0)])
    assert (fitted.alpha, fitted.beta, fitted.r2) == pytest.approx((1.2, 0.5, 1.0))
    assert fitted.peak_kl == pytest.approx(peak)
    assert fitted.at(peak) > max(fitted.at(0.9 * peak), fitted.at(1.1 * peak))


def test_a_fit_says_how_badly_it_fits_and_needs_three_points() -> None:
    assert proof.fit("rl", [(1.0, 1.0), (4.0, -1.0), (9.0, 1.0), (16.0, -1.0)]).r2 < 0.6
    with pytest.raises(ValueError, match="three points"):
        proof.fit("rl", [(0.0, 0.0), (1.0, 1.0), (2.0, 1.0)])


def test_best_of_n_takes_the_proxys_choice_of_each_group() -> None:
    values = [(1.0, 5.0), (2.0, 0.0), (3.0, 1.0), (0.0, 9.0), (7.0, 7.0)]
    assert proof.best_of(1, values) == pytest.approx(22 / 5)
    assert proof.best_of(2, values) == 0.5  # of (5, 0) the 0, of (1, 9) the 1; the fifth has no partner
    assert proof.kl_of_best(4) == pytest.approx(0.6362944)


def test_reliability_by_hand() -> None:
    """Said at .8 or .2 four times, right twice of them; at .95 once, right: errors .3 and .05, weighed 4 to 1."""
    error, bins = proof.reliability([0.8, 0.8, 0.2, 0.2, 0.95])
    assert error == pytest.approx((4 * 0.3 + 0.05) / 5)
    assert [one["pairs"] for one in bins] == [4.0, 1.0]
    assert bins[0]["right"] == 0.5


def test_every_demand_is_met_and_each_can_be_missed(figures: SeedFigures) -> None:
    assert missed(report(figures)) == []
    assert len(figures["verdicts"]) == len(proof.DEMANDS)

    def broken(**changes: Any) -> set[str]:
        other = deepcopy(figures)
        for path, value in changes.items():
            *way, last = path.split("__")
            place: Any = other
            for key in way:
                place = place[int(key)] if isinstance(place, list) else place[key]
            place[last] = value
        return {one["name"] for one in proof.verdicts(other) if not one["ok"]}

    assert broken(gold__base=0.6) == {"sft_over_base"}
    assert broken(best_of__16={"kl": 1.8, "gold": 1.9}) == {"best_of_16_over_sft"}
    assert broken(gold__ppo=1.7) == {"ppo_beside_best_of_16", "ppo_over_sft"}
    assert broken(win_rate__low=0.55) == {"win_rate"}
    assert broken(ppo__kl=8.1) == broken(ppo__kl=0.9) == {"kl"}
    assert broken(gold__dpo=0.9) == {"dpo_beside_sft"}
    assert broken(gold__kto=0.9) == {"kto_beside_sft"}
    assert broken(ended__kto=0.94) == {"answers_end"}
    assert broken(reward__1__gold_order=0.69) == {"reward_gold_order"}
    assert broken(reward__1__accuracy=0.68) == {"reward_of_ceiling"}
    assert broken(reward__0__accuracy=0.66) == {"reward_few_labels"}
    assert broken(reward__1__ece=0.09) == {"calibration"}
    assert broken(hacked__gold=1.5) == {"hacked_gain_lost"}
    assert broken(hacked__peak_gold=0.9) == {"hacked_below_peak"}
    assert broken(hacked__proxy=0.9) == {"hacked_proxy"}
    assert broken(hacked__entropy_share=0.31) == {"hacked_entropy"}
    assert broken(hacked__alarms={"entropy": 3}) == {"alarms_at_zero"}
    assert broken(ppo__alarms={"length": 3}) == {"no_alarms"}


def test_a_missed_demand_is_a_sentence_with_its_seed_and_figure(figures: SeedFigures) -> None:
    figures["gold"]["ppo"] = 1.7
    figures["verdicts"] = proof.verdicts(figures)
    assert "Seed 0: gold of PPO at least 0.8 over SFT; it is 0.7." in missed(report(figures))


def test_the_two_arms_differ_in_the_coefficient_alone() -> None:
    assert ARMS["hacked"] == {**ARMS["ppo"], "kl_coef": 0.0}


def test_the_page_shows_curves_and_texts_and_loads_nothing(figures: SeedFigures) -> None:
    figures["gold"]["ppo"] = 1.7
    figures["verdicts"] = proof.verdicts(figures)
    html = page(report(figures, figures))
    drawings = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(drawings) == 8
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        assert root.get("aria-label")
        assert not {"nan", "inf"} & set(re.findall(r"nan|inf", " ".join(root.itertext())))
    assert "My &lt;b&gt;router&lt;/b&gt; is hot." in html and "Thanks &amp; thanks." in html
    assert html.count("fails</span>") == 4
    assert not re.search(r"(?:src|href)=|@import|url\(|<script", html)


def test_axes_have_round_values() -> None:
    assert scale(-0.3, 9.7) == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert scale(0.51, 0.74) == [0.55, 0.6, 0.65, 0.7]


def test_a_snapshot_of_the_demo_world_is_one_the_trainer_reads(tmp_path: Path) -> None:
    from trainer.data.snapshot import Prompt, open_snapshot

    row = {"kind": "prompt", "prompt": [{"role": "user", "content": "Grüße?"}]}
    write_snapshot(tmp_path / "s", {"train": [row, row], "test": [row]}, "feedback")
    snapshot = open_snapshot(tmp_path / "s")
    assert [one.count for one in snapshot.rows("train", Prompt)] == [2]
    assert json.loads((tmp_path / "s" / "manifest.json").read_text())["counts"]["train"] == {"prompt": 2}


def test_a_stage_that_fails_ends_the_proof_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ProofFailed, match=r"(?s)Seed 3: first left with 2.*Unknown config key for tokenizer: bogus"):
        Seed(tmp_path, 3).stage("first", "tokenizer", {"bogus": 1})


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ProofFailed, match=r"thesis\.txt, which is no part of a proof"):
        prove(tmp_path, [])
    assert (tmp_path / "thesis.txt").read_text() == "years of work" and (tmp_path / "seed-0").is_dir()
    (tmp_path / "thesis.txt").unlink()
    assert prove(tmp_path, [])["seeds"] == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_the_report_and_fails_by_sentence(
    figures: SeedFigures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The minutes of training are left out: their report is given."""
    monkeypatch.setattr("workers.demo_commands.prove.prove", lambda folder, seeds, processes: report(figures))
    call_command("prove", folder=tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["seeds"][0]["seed"] == 0
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert "seed 0  holds  gold of SFT at least 0.5 over base: 0.8" in capsys.readouterr().out
    figures["gold"]["ppo"] = 1.7
    figures["verdicts"] = proof.verdicts(figures)
    with pytest.raises(CommandError, match=r"Seed 0: gold of PPO at least 0\.8 over SFT; it is 0\.7\."):
        call_command("prove", folder=tmp_path)
