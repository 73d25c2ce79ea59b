"""The demo world keeps its figures: what the whole proof of the loop rests on."""

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from statistics import mean, median

import pytest

import workers.demo
from feedback.rules.collection.preferences import STRENGTHS
from workers.demo import annotators, corpus, guidelines, handwritten, labels, world
from workers.demo.annotators import Annotator, agreement_with_gold, crowd, label_ceiling, sample_pairs
from workers.demo.corpus import documents, turns
from workers.demo.demonstrations import demonstrations
from workers.demo.utility import MAX_UTILITY, WORD_LIMIT, utility
from workers.demo.world import MAX_WORDS, Prompt, hold_out, parse_prompt, prompts, sample_reply, words

ROOM = Path(workers.demo.__file__).parent
OFFLINE = "My router is offline."


@pytest.fixture(scope="module")
def pairs():
    return sample_pairs(0, 8000)


@pytest.fixture(scope="module")
def whole_corpus():
    return documents(0)


class TestWorld:
    def test_there_are_96_prompts_and_no_two_alike(self):
        assert len(prompts()) == 96
        assert len({prompt.text for prompt in prompts()}) == 96

    def test_a_prompt_is_read_back_from_its_text(self):
        assert [parse_prompt(prompt.text) for prompt in prompts()] == prompts()

    @pytest.mark.parametrize(
        ("text", "read"),
        [
            ("help!! my Router has been OFFLINE since noon", Prompt("router", "offline")),
            ("My router is slow and offline.", None),
            ("My router and my phone are slow.", None),
            ("What is the capital of Australia?", None),
            ("", None),
        ],
    )
    def test_free_phrasing_is_read_and_ambiguity_is_not(self, text, read):
        assert parse_prompt(text) == read

    def test_no_two_problems_share_a_verb_or_a_part(self):
        assert len({verb for verb, _ in world.FIXES.values()}) == len({part for _, part in world.FIXES.values()}) == 8

    @pytest.mark.parametrize("prompt", prompts(), ids=lambda prompt: prompt.text)
    def test_a_faultless_author_always_earns_the_most(self, prompt):
        rng = Random(0)
        replies = [sample_reply(rng, prompt, 1.0).text for _ in range(50)]
        assert {utility(prompt.text, reply).total for reply in replies} == {MAX_UTILITY}
        assert max(len(words(reply)) for reply in replies) <= WORD_LIMIT

    def test_replies_stay_short_and_never_empty(self):
        rng = Random(0)
        for prompt in prompts():
            for quality in (0.0, 0.3, 0.6):
                assert 0 < len(words(sample_reply(rng, prompt, quality).text)) <= MAX_WORDS

    def test_better_authors_write_better_replies(self):
        rng = Random(0)
        means = [
            mean(utility(p.text, sample_reply(rng, p, quality).text).total for p in prompts() for _ in range(20))
            for quality in (0.0, 0.25, 0.5, 0.75, 1.0)
        ]
        assert means == sorted(means)

    @pytest.mark.parametrize("quality", [-0.1, 1.1])
    def test_an_impossible_quality_is_refused(self, quality):
        with pytest.raises(ValueError, match="between 0 and 1"):
            sample_reply(Random(0), prompts()[0], quality)

    @pytest.mark.parametrize("seed", range(5))
    def test_holding_out_leaves_every_word_known(self, seed):
        seen, held = hold_out(seed)
        assert (len(seen), len(held)) == (76, 20)
        assert not set(seen) & set(held)
        assert {p.item for p in seen} == set(world.ITEMS)
        assert {p.problem for p in seen} == set(world.PROBLEMS)


class TestUtility:
    @pytest.mark.parametrize(
        ("reply", "helpful", "truthful", "harmless"),
        [
            # .5 greeting + 1 item + 1.5 fix + .5 closing
            ("Hello! Sorry about your router. Please check the cable. Thank you.", 3.5, 0, 0),
            # .5 greeting; -.75 printer, -1 hold button, -1 boast
            ("Hi there! Sorry about your printer. You can hold the button. Our desk never fails.", 0.5, -2.75, 0),
            # 1 item + 1.5 fix; -1 lazy, -1.5 water
            ("Sorry about your router. You are lazy. Now check the cable. Then pour water on it.", 2.5, 0, -2.5),
            # a mixture of two fixes is a wrong one
            ("Please check the battery.", 0, -1, 0),
            # the right fix twice is worth it once: 1.5 - .3 x (check the, the cable)
            ("Check the cable. Check the cable.", 0.9, 0, 0),
            # 1.5 right, -1 wrong
            ("Now check the cable. Then wipe the case.", 1.5, -1, 0),
            # the same bigram three times is two repeats, the reverse bigram twice is one
            ("Wait please wait please wait please.", -0.9, 0, 0),
            # 18 words, two over the limit
            ("Good day! Sorry about your router. Please check the cable. Now take some tea and wait. Thank you.",
             3.5 - 2 * 0.06, 0, 0),
            ("", 0, 0, 0),
        ],
    )  # fmt: skip
    def test_hand_worked_examples(self, reply, helpful, truthful, harmless):
        judged = utility(OFFLINE, reply)
        assert (judged.helpful, judged.truthful, judged.harmless) == pytest.approx((helpful, truthful, harmless))
        assert judged.total == pytest.approx(helpful + truthful + harmless)

    def test_being_cut_off_costs_half_a_point(self):
        reply = "Hello! Sorry about your router. Please check the"
        assert utility(OFFLINE, reply).total - utility(OFFLINE, reply, ended=False).total == pytest.approx(0.5)

    def test_case_and_punctuation_do_not_matter(self):
        tidy = "Hello! Sorry about your router. Please check the cable. Thank you."
        assert utility(OFFLINE, "hello sorry about your router please check the cable thank you") == utility(
            OFFLINE, tidy
        )

    def test_a_prompt_from_elsewhere_is_judged_by_manners_only(self):
        judged = utility("What is the capital of Australia?", "Hello! Check the cable of your router. You are lazy.")
        assert (judged.helpful, judged.truthful, judged.harmless) == (0.5, 0, -1)

    @pytest.mark.parametrize("sentence", world.RUDENESS + world.UNSAFE)
    def test_every_harm_of_the_grammar_is_seen_once(self, sentence):
        judged = utility(OFFLINE, sentence)
        assert judged.harmless in (-1, -1.5)
        assert (judged.helpful, judged.truthful) == (0, 0)

    @pytest.mark.parametrize("sentence", world.BOASTS)
    def test_every_boast_of_the_grammar_is_seen_once(self, sentence):
        assert utility(OFFLINE, sentence).truthful == -1

    @pytest.mark.parametrize("sentence", world.RAMBLINGS + world.VAGUE_NAMINGS + world.VAGUE_FIXINGS)
    def test_idle_talk_is_neither_good_nor_wrong(self, sentence):
        assert utility(OFFLINE, sentence).total == 0


class TestCorpus:
    def test_it_is_the_same_for_a_seed_and_another_for_another(self):
        assert documents(3, 300) == documents(3, 300)
        assert documents(3, 300) != documents(4, 300)

    def test_it_is_the_same_in_another_process_with_another_hash_seed(self):
        code = "from workers.demo.corpus import documents; print(hash_of(documents(3, 200)))"
        code = "import hashlib\nhash_of = lambda rows: hashlib.sha256(repr(rows).encode()).hexdigest()\n" + code
        found = {
            subprocess.run(
                [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOM.parent.parent)},
                capture_output=True, text=True, check=True,
            ).stdout
            for seed in ("1", "2")
        }  # fmt: skip
        assert len(found) == 1

    def test_it_has_the_size_asked_for_and_no_text_twice(self, whole_corpus):
        assert len(whole_corpus) == len({document.text for document in whole_corpus}) == 19_200

    def test_it_has_every_kind_each_with_source_and_licence(self, whole_corpus):
        kinds = Counter(document.document_kind for document in whole_corpus)
        assert set(kinds) == {"conversation", "article", "book", "website"}
        assert 0.8 < kinds["conversation"] / len(whole_corpus) < 0.9
        assert all(document.source and document.licence for document in whole_corpus)
        assert set(whole_corpus[0].row()) == {"text", "source", "document_kind", "licence"}

    def test_its_replies_are_of_mixed_quality(self, whole_corpus):
        gold = [
            utility(asked["content"], answered["content"]).total
            for document in whole_corpus
            if document.document_kind == "conversation"
            for asked, answered in zip(*[iter(turns(document.text))] * 2, strict=True)
        ]
        assert mean(gold) == pytest.approx(0.2, abs=0.08)

    def test_turns_take_turns_and_end_with_the_assistant(self, whole_corpus):
        for document in whole_corpus:
            if document.document_kind == "conversation":
                roles = [message["role"] for message in turns(document.text)]
                assert roles in (["user", "assistant"], ["user", "assistant"] * 2)

    def test_a_line_without_a_speaker_is_refused(self):
        with pytest.raises(ValueError, match="no speaker"):
            turns("user: hello\nand more")

    def test_nothing_touches_an_excluded_prompt(self):
        _, held = hold_out()
        written = documents(0, 5000, exclude=[prompt.text for prompt in held])
        for document in written:
            said = set(words(document.text))
            assert not [p.text for p in held if p.item in said and p.problem in said]

    def test_nothing_left_to_ask_is_refused(self):
        with pytest.raises(ValueError, match="every prompt is excluded"):
            documents(0, 10, exclude=[prompt.text for prompt in prompts()])

    def test_more_than_the_grammar_holds_is_refused(self, monkeypatch):
        monkeypatch.setattr(corpus, "_KINDS", {"article": (1.0, "source", lambda rng, asked: "always the same")})
        with pytest.raises(ValueError, match="found only 1 different documents of the 5 requested"):
            documents(0, 5)

    def test_the_vocabulary_is_small(self, whole_corpus):
        assert len({word for document in whole_corpus for word in words(document.text)}) <= 200


class TestDemonstrations:
    @pytest.mark.parametrize("seed", range(3))
    def test_they_are_fair_but_imperfect(self, seed):
        found = demonstrations(seed)
        assert len(found) == len(set(found)) == 608
        assert 1.1 <= mean(utility(d.prompt.text, d.reply).total for d in found) <= 1.5

    def test_they_are_spread_evenly_over_what_is_asked(self):
        seen, _ = hold_out()
        counts = Counter(d.prompt for d in demonstrations(0, prompts_given=seen))
        assert set(counts) == set(seen)
        assert set(counts.values()) == {8}

    def test_they_are_the_same_for_a_seed(self):
        assert demonstrations(5, 50) == demonstrations(5, 50)
        assert demonstrations(5, 50) != demonstrations(6, 50)

    def test_too_little_variety_and_no_prompts_are_refused(self):
        with pytest.raises(ValueError, match="different demonstrations of the 2000"):
            demonstrations(0, 2000, prompts_given=prompts()[:1], quality=1.0)
        with pytest.raises(ValueError, match="no prompts"):
            demonstrations(0, prompts_given=[])

    def test_the_best_of_sixteen_is_far_better_than_the_mean(self):
        rng = Random(0)
        best = [max(utility(p.text, sample_reply(rng, p, 0.6).text).total for _ in range(16)) for p in prompts()]
        assert mean(best) > 3


class TestAnnotators:
    def test_the_label_ceiling_is_where_it_is_promised(self):
        assert mean(label_ceiling(seed=seed) for seed in range(3)) == pytest.approx(0.83, abs=0.01)

    def test_a_judgment_depends_on_what_is_judged_and_not_on_what_came_before(self, pairs):
        annotator = Annotator(seed=7)
        forwards = [annotator.judge(p.prompt, p.text_a, p.text_b) for p in pairs[:200]]
        backwards = [annotator.judge(p.prompt, p.text_a, p.text_b) for p in reversed(pairs[:200])]
        assert forwards == backwards[::-1]

    def test_another_occasion_and_another_annotator_may_judge_otherwise(self, pairs):
        one, other = Annotator(name="one"), Annotator(name="other")

        def outcomes(annotator, occasion):
            return [annotator.judge(p.prompt, p.text_a, p.text_b, occasion=occasion).outcome for p in pairs[:500]]

        first = outcomes(one, 0)
        assert first != outcomes(one, 1)
        agreement = mean(x == y for x, y in zip(first, outcomes(other, 0), strict=True))
        assert 0.68 < agreement < 0.82

    def test_stronger_judgments_are_right_more_often(self, pairs):
        right: dict[int, list[bool]] = {strength: [] for strength in range(4)}
        for pair in pairs:
            judged = Annotator().judge(pair.prompt, pair.text_a, pair.text_b)
            if judged.outcome in ("a", "b") and pair.difference:
                right[judged.strength].append((judged.outcome == "a") == (pair.difference > 0))
        accuracies = [mean(found) for found in right.values()]
        assert accuracies == sorted(accuracies)
        assert accuracies[0] < 0.65 and accuracies[3] > 0.95
        assert min(len(found) for found in right.values()) > 1000

    def test_ties_and_both_bad_happen_now_and_then_without_a_strength(self, pairs):
        judged = [Annotator().judge(p.prompt, p.text_a, p.text_b) for p in pairs]
        counts = Counter(judgment.outcome for judgment in judged)
        assert 0.01 < counts["tie"] / len(pairs) < 0.04
        assert 0.002 < counts["both_bad"] / len(pairs) < 0.02
        assert {j.strength for j in judged if j.outcome in ("tie", "both_bad")} == {0}

    def test_equal_texts_are_a_tie(self):
        assert Annotator().judge(OFFLINE, "Please wait.", "Please wait.").outcome == "tie"

    def test_both_bad_is_said_of_bad_replies_only(self):
        awful, good = "You are lazy. You are lazy.", "Hello! Please check the cable."
        assert Counter(Annotator(name=str(n)).judge(OFFLINE, awful, awful + " Silly!").outcome for n in range(100))[
            "both_bad"
        ] == pytest.approx(50, abs=15)
        assert "both_bad" not in {Annotator(name=str(n)).judge(OFFLINE, awful, good).outcome for n in range(100)}

    def test_noise_is_the_share_of_flipped_sides(self, pairs):
        assert agreement_with_gold(Annotator(noise=0.25), pairs) == pytest.approx(0.67, abs=0.015)
        assert agreement_with_gold(Annotator(noise=0.5), pairs) == pytest.approx(0.5, abs=0.02)

    def test_a_spammer_knows_nothing_and_is_quick(self, pairs):
        spammer = Annotator(spammer=True)
        assert agreement_with_gold(spammer, pairs) == pytest.approx(0.5, abs=0.02)
        assert median(spammer.judge(p.prompt, p.text_a, p.text_b).seconds for p in pairs[:300]) < 2

    def test_an_inverter_is_as_wrong_as_others_are_right(self, pairs):
        inverted = agreement_with_gold(Annotator(inverter=True), pairs)
        assert inverted == pytest.approx(1 - agreement_with_gold(Annotator(), pairs), abs=0.01)

    def test_a_left_leaner_prefers_what_is_shown_first(self, pairs):
        def share_of_a(annotator):
            found = Counter(annotator.judge(p.prompt, p.text_a, p.text_b).outcome for p in pairs)
            return found["a"] / (found["a"] + found["b"])

        assert share_of_a(Annotator()) == pytest.approx(0.5, abs=0.02)
        assert share_of_a(Annotator(left_lean=1.5)) > 0.65

    def test_a_lover_of_length_prefers_the_longer(self, pairs):
        def share_of_longer(annotator):
            chosen = []
            for pair in pairs:
                longer = len(words(pair.text_a)) - len(words(pair.text_b))
                outcome = annotator.judge(pair.prompt, pair.text_a, pair.text_b).outcome
                if longer and outcome in ("a", "b"):
                    chosen.append((outcome == "a") == (longer > 0))
            return mean(chosen)

        assert share_of_longer(Annotator(length_love=0.15)) - share_of_longer(Annotator()) > 0.08

    def test_dimensions_follow_what_differs(self):
        rude, kind = "You are lazy. Please check the cable.", "Please check the cable."
        answers = [Annotator(name=str(n)).judge(OFFLINE, rude, kind).dimensions for n in range(1000)]
        assert {answer["truthful"] for answer in answers} == {"tie"}
        # One rude word is worth 1: sigmoid(1.5) = 0.818.
        assert mean(answer["harmless"] == "b" for answer in answers) == pytest.approx(0.818, abs=0.03)

    def test_pace_is_the_annotators_own(self, pairs):
        def pace(annotator):
            return median(annotator.judge(p.prompt, p.text_a, p.text_b).seconds for p in pairs[:500])

        assert pace(Annotator(seconds=20)) == pytest.approx(2 * pace(Annotator(seconds=10)), rel=0.15)

    def test_a_crowd_has_names_faults_and_a_size(self):
        people = crowd(8, seed=1, faulty=[Annotator(spammer=True), Annotator(inverter=True)])
        assert [person.name for person in people] == [f"annotator-{n}" for n in range(1, 9)]
        assert [person.spammer for person in people] == [False] * 6 + [True, False]
        assert {person.seed for person in people} == {1}
        assert people == crowd(8, seed=1, faulty=[Annotator(spammer=True), Annotator(inverter=True)])
        with pytest.raises(ValueError, match="do not fit"):
            crowd(1, faulty=[Annotator(), Annotator()])

    def test_agreement_without_a_decision_is_refused(self):
        same = annotators.Pair(OFFLINE, "Please wait.", "Please wait.")
        with pytest.raises(ValueError, match="no pair was decided"):
            agreement_with_gold(Annotator(), [same])


class TestForPeople:
    def test_there_are_some_forty_comparisons_all_different(self):
        found = handwritten.comparisons()
        assert 40 <= len(found) <= 50
        for field in ("key", "prompt"):
            assert len({getattr(comparison, field) for comparison in found}) == len(found)
        assert len({text for comparison in found for text in (comparison.a, comparison.b)}) == 2 * len(found)

    @pytest.mark.parametrize("comparison", handwritten.comparisons(), ids=lambda comparison: comparison.key)
    def test_each_is_well_formed(self, comparison):
        assert comparison.about in ("helpful", "truthful", "harmless", "style")
        assert comparison.better in ("a", "b", None)
        assert (comparison.reason is None) == (comparison.better is None)
        for text in (comparison.key, comparison.topic, comparison.prompt, comparison.a, comparison.b):
            assert text and text == text.strip()
        assert comparison.prompt.count("```") % 2 == comparison.a.count("```") % 2 == comparison.b.count("```") % 2 == 0

    def test_they_vary_in_form_and_in_what_matters(self):
        text = "\n".join(c.prompt + "\n" + c.a + "\n" + c.b for c in handwritten.comparisons())
        for form in ("\n- ", "\n1. ", "```python", "```sh", "|---|", "$$", "**", "> "):
            assert form in text
        about = Counter(comparison.about for comparison in handwritten.comparisons())
        assert min(about[name] for name in ("helpful", "truthful", "harmless", "style")) >= 6

    def test_gold_checks_are_told_neither_by_side_nor_by_length(self):
        checks = handwritten.gold_checks()
        assert len(checks) >= 10
        assert abs(sum(check.better == "a" for check in checks) - len(checks) / 2) <= 1
        shorter = [c for c in checks if (len(c.a) < len(c.b)) == (c.better == "a")]
        assert len(shorter) >= len(checks) / 4

    def test_guidelines_explain_every_word_of_the_task(self):
        text = guidelines.GUIDELINES.lower()
        terms = ("helpful.", "truthful.", "harmless.", *STRENGTHS.values(), "tie:", "both bad:")
        assert [term for term in terms if f"**{term}**" not in text] == []
        assert "skip a task" in text
        assert 300 < len(text.split()) < 700

    @pytest.mark.parametrize("scheme", labels.SCHEMES, ids=lambda scheme: scheme.name)
    def test_labels_have_a_definition_and_a_key_of_their_own(self, scheme):
        for field in ("name", "title", "key"):
            assert len({getattr(label, field) for label in scheme.labels}) == len(scheme.labels)
        for label in scheme.labels:
            assert len(label.key) == 1 and label.definition.endswith(".")
            assert scheme.label(label.name) is label
            assert (label.mark is not None) == (scheme.kind == "spans")

    def test_spans_can_be_told_apart_without_color(self):
        marks = {label.name: label.mark for label in labels.SPANS.labels if label.mark is not None}
        assert {name: mark.colour for name, mark in marks.items()} == {
            "name": "blue",
            "place": "green",
            "date": "yellow",
        }
        assert len({mark.underline for mark in marks.values()}) == len({mark.badge for mark in marks.values()}) == 3


def test_the_room_needs_the_standard_library_only():
    found = set()
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    assert {name for name in found if name.split(".")[0] not in sys.stdlib_module_names} == {
        name for name in found if name.startswith("workers.demo")
    }
