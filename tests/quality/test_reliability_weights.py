"""What an annotator's votes are worth in the loss: by hand, and for crowds that vote as simulated people do."""

from fractions import Fraction
from random import Random

import pytest

from feedback.rules.quality.doubling import choose, share_now
from feedback.rules.quality.reliability import Reliability, Vote
from feedback.rules.quality.reliability_weights import (
    AnnotatorError,
    Errors,
    Why,
    errors_from,
    errors_of,
    histogram,
    of_row,
    pulled,
    sentence,
    to_hundredths,
)
from workers.demo.annotators import Annotator, crowd, sample_pairs

INVERTER, SPAMMER = Annotator(inverter=True), Annotator(spammer=True)


def known(*people: tuple[float, int]) -> dict[int, Reliability]:
    """Reliability from share and shared votes, by place from 1."""
    return {place: Reliability(share, n, None, 0) for place, (share, n) in enumerate(people, start=1)}


def estimated(*people: tuple[float, int]) -> Errors:
    return errors_from(known(*people), dict.fromkeys(range(1, len(people) + 1), 500))


def hundredths(found: Errors) -> list[int | None]:
    return [one.hundredths for one in found.annotators]


def test_errors_by_hand() -> None:
    """The mean of the shares is .66 and 150 votes keep 3/4 of the distance: .84 three times, .54, .24.

    So r* is .84, and the errors are 0, .30 / .68 and .60 / .68.
    """
    found = estimated((0.9, 150), (0.9, 150), (0.9, 150), (0.5, 150), (0.1, 150))
    assert (found.why, found.shared, found.able) == (None, 750, 5)
    assert found.best == pytest.approx(0.84)
    assert hundredths(found) == [0, 0, 0, 44, 88]
    assert found.annotators[4] == AnnotatorError(annotator=5, votes=500, shared=150, share=0.1, hundredths=88)
    assert found.by_annotator == {1: 0, 2: 0, 3: 0, 4: 44, 5: 88}


def test_who_sets_the_standard_has_a_hundred_shared_votes() -> None:
    """The best of all has 99: he is no standard, and has no error."""
    found = estimated((0.98, 99), (0.9, 150), (0.9, 150), (0.9, 150), (0.1, 150))
    assert found.able == 4
    crowd_mean = (0.98 * 99 + 0.9 * 450 + 0.1 * 150) / 699
    assert found.best == pytest.approx(crowd_mean + (0.9 - crowd_mean) * 0.75)
    assert hundredths(found)[0] == 0


def test_somebody_new_is_taken_for_the_crowd() -> None:
    shares = pulled(known((0.9, 150), (0.9, 150), (0.9, 150), (0.1, 150), (0.75, 0)))
    assert shares[5] == pytest.approx(0.7), "the crowd's mean, whatever the share of no votes at all"
    assert hundredths(estimated((0.9, 150), (0.9, 150), (0.9, 150), (0.1, 150), (0.75, 0))) == [0, 0, 0, 86, 21]


def test_what_chance_explains_is_no_error() -> None:
    """Shares of 130 shared votes lie so far apart by themselves."""
    assert hundredths(estimated(*[(0.80, 130), (0.90, 130)] * 4)) == [0] * 8
    assert hundredths(estimated(*[(0.80, 3000), (0.90, 3000)] * 4)) == [12, 0] * 4, "by now it is real"


@pytest.mark.parametrize(
    ("people", "why", "says"),
    [
        ([(0.9, 500), (0.9, 500)], Why.FEW_ANNOTATORS, "2 of at least 3 annotators have compared responses."),
        ([(0.9, 100), (0.9, 50), (0.9, 49)], Why.FEW_VOTES, "199 of 200 votes were given on tasks"),
        ([(0.9, 200), (0.9, 200), (0.9, 99)], Why.FEW_PEOPLE, "2 of 3 annotators have 100 votes on tasks"),
        ([(0.55, 200)] * 4, Why.NEAR_CHANCE, "find the better response in 55 % of tasks. More than 55 % is needed"),
        ([], Why.FEW_ANNOTATORS, "0 of at least 3"),
    ],
)
def test_why_there_are_no_errors(people: list[tuple[float, int]], why: Why, says: str) -> None:
    found = estimated(*people)
    assert found.why == why
    assert says in sentence(why, found)
    assert found.by_annotator == {} and set(hundredths(found)) <= {None}


def test_reasons_that_are_no_figure() -> None:
    assert "nobody's own" in sentence(Why.CONSENSUS, Errors((), None, None))
    assert "does not weigh" in sentence(Why.CHOSEN, Errors((), None, None))


def test_hundredths_are_whole_and_bounded() -> None:
    assert list(map(to_hundredths, (-0.2, 0.0, 0.004, 0.005, 0.125, 0.9799, 1.08))) == [0, 0, 0, 1, 13, 98, 98]


def test_a_row_of_several_has_the_mean_by_weight() -> None:
    one, sixth = Fraction(1), Fraction(1, 6)
    assert of_row([(77, one)]) == 77
    assert of_row([(0, one), (98, one)]) == 49
    assert of_row([(1, one), (0, one)]) == 1, "halves go up"
    assert of_row([(98, sixth), (0, 5 * sixth)]) == 16
    assert of_row([]) == 0


def test_the_histogram_counts_by_tenths() -> None:
    assert histogram([0, 9, 10, 55, 98, 98]) == [2, 1, 0, 0, 0, 1, 0, 0, 0, 2]


# --- crowds ------------------------------------------------------------------------------------------


def votes_of(seed: int, *faulty: Annotator, votes: int = 6_000) -> list[Vote]:
    """The shared votes among so many by eight people, as the service would have had them double tasks.

    What one person alone judges tells nothing of them, so it is only counted.
    """
    chance, people = Random(seed), crowd(8, seed, faulty)
    pairs, made, task = sample_pairs(seed, 800), [], 0
    met, given = dict.fromkeys(range(8), 0), 0
    while given < votes:
        if choose(share_now(0.15, 8, met), "random", 1.0, seed, given, task).annotations_wanted == 1:
            given += 1
            task += 1
            continue
        pair, both = pairs[task % len(pairs)], []
        for who in chance.sample(range(8), 2):
            said = people[who].judge(pair.prompt, pair.text_a, pair.text_b, occasion=task)
            if said.outcome in ("a", "b"):
                both.append(Vote(task, who, said.outcome == "a"))
        if len(both) == 2:
            for vote in both:
                met[vote.annotator] += 1
            made += both
        given += 2
        task += 1
    assert min(met.values()) >= 100
    return made


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_careful_people_are_not_weighed_down(seed: int) -> None:
    found = errors_of(votes_of(seed))
    assert found.why is None and max(found.by_annotator.values()) <= 15 and not found.flagged


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_inverters_are_turned_round(seed: int) -> None:
    found = errors_of(votes_of(seed, INVERTER, INVERTER))
    assert {who for who, error in found.by_annotator.items() if error > 50} == {6, 7} == found.flagged
    assert max(found.by_annotator[who] for who in range(6)) <= 20


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_spammers_count_for_little(seed: int) -> None:
    """Half an error is none at all in the gradient. Nobody else comes near it."""
    found = errors_of(votes_of(seed, SPAMMER, SPAMMER))
    assert all(20 <= found.by_annotator[who] <= 60 for who in (6, 7))
    assert max(found.by_annotator[who] for who in range(6)) <= 20


def test_the_order_of_votes_is_nothing() -> None:
    votes = votes_of(0, INVERTER)
    shuffled = Random(1).sample(votes, len(votes))
    assert errors_of(shuffled) == errors_of(votes)


# --- doubled tasks -----------------------------------------------------------------------------------


def test_fifteen_percent_until_everybody_is_known_then_five() -> None:
    assert share_now(0.15, 3, {}) == 0.15, "nobody has voted yet"
    assert share_now(0.15, 8, {1: 100, 2: 99}) == 0.15
    assert share_now(0.15, 8, {1: 100, 2: 100}) == 0.05
    assert share_now(0.02, 8, {1: 100, 2: 100}) == 0.02, "never more than the project wants"
    assert share_now(0.15, 2, {}) == 0.0, "two people cannot be told apart"


def test_a_choice_tells_its_probability() -> None:
    arms = [choose(0.15, "random", 0.5, "salt", number) for number in range(20_000)]
    doubled = [one for one in arms if one.arm == "double"]
    assert {(one.propensity, one.annotations_wanted) for one in doubled} == {(0.15, 2)}
    assert {(one.propensity, one.annotations_wanted) for one in arms if one.arm == "random"} == {(0.425, 1)}
    assert abs(len(doubled) / 20_000 - 0.15) < 3 * (0.15 * 0.85 / 20_000) ** 0.5
    assert choose(0.0, "random", 1.0, 1).propensity == 1.0
    assert choose(0.15, "random", 0.5, "salt", 7) == arms[7]
