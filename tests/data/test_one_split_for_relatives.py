"""Prompts of one family or one group lie in one split, by whichever way they come; what came before never moves."""

import hashlib
import importlib
import json
import threading
import unicodedata
from typing import Any

import pytest
from django.apps import apps
from django.db import connection, connections

from feedback.errors import Invalid
from feedback.models import Conversation, FamilyKey, Job, Person, Project, Prompt
from feedback.rules.data.splits import family_of, split_of, split_of_group
from feedback.services.collection import prompts
from feedback.services.data import imports, preferences
from feedback.services.data import splits as split_services
from tests.factories import make_prompt, make_prompt_in, make_snapshot
from workers.execution import run_job

pytestmark = pytest.mark.database

# Visible twins: each line of a block looks like the others.
TWINS = [
    ["why is the screen blank", "why i\u2060s the screen blank", "why is\u200b the screen blank",
     "why is\u00ad the screen blank", "\ufeffWhy is the screen\u200d blank?"],
    ["my parcel never arrived \u2764 today", "my parcel never arrived \u2764\ufe0f today"],
    ["\u0928\u092e\u0938\u094d\u0924\u0947 there", "\u0928\u092e\u0938\u094d\u200d\u0924\u0947 there"],
    ["turn it to 90\u00b0", "turn it to 90\u00b0\U000e0101"],
    ["reset my router", "reset\u3164 my router", "re\uffa0set my router", "reset my\u034f router"],
    ["\u1780 is a letter", "\u1780\u17b4 is a letter", "\u1780\u17b5 is a letter"],
]  # fmt: skip


def brought_in(project: Project, by: Person, *rows: dict[str, Any]) -> Job:
    content = "\n".join(json.dumps(row) for row in rows).encode()
    job = imports.request_import(project=project, by=by, format="touchstone", name="rows.jsonl", chunks=[content])
    run_job(job.pk)
    job.refresh_from_db()
    return job


def in_split(project: Project, split: str, what: str = "Question") -> str:
    """A first message whose family falls into the split by its hash."""
    texts = (f"{what} {n}?" for n in range(1000))
    return next(
        text for text in texts if split_of(family_of(project.split_salt, [{"role": "user", "content": text}])) == split
    )


def group_in(project: Project, split: str) -> str:
    return next(f"document {n}" for n in range(1000) if split_of_group(project.split_salt, f"document {n}") == split)


@pytest.mark.parametrize("block", TWINS, ids=range(len(TWINS)))
def test_what_looks_the_same_is_one_family(project: Project, hana: Person, block: list[str]) -> None:
    brought_in(project, hana, *({"prompt": text} for text in block[1:]))
    make_prompt(project, block[0])
    found = Prompt.objects.filter(project=project)
    assert found.count() == len(block)
    assert len({(prompt.family, prompt.split) for prompt in found}) == 1


def test_a_twin_of_a_prompt_from_before_the_folding_follows_its_split(project: Project) -> None:
    """Families of old prompts keep their hash; a new prompt is looked up under the old key as well."""
    text = "why is\u200b the screen blank"
    before = unicodedata.normalize("NFKC", text).casefold()
    old_key = hashlib.sha256(f"{project.split_salt}\n{before}".encode()).hexdigest()
    new_key = family_of(project.split_salt, [{"role": "user", "content": text}])
    elsewhere = next(split for split in ("test", "train") if split != split_of(new_key))
    old = Prompt.objects.create(
        project=project, messages=[{"role": "user", "content": text}], family=old_key, split=elsewhere
    )
    assert make_prompt(project, text).split == elsewhere
    # The migration leaves this key for twins without the character.
    FamilyKey.objects.create(project=project, key=new_key, family=old_key)
    assert make_prompt(project, "Why is the screen blank").split == elsewhere
    old.refresh_from_db()
    assert (old.family, old.split) == (old_key, elsewhere)


def test_a_group_lies_in_the_split_of_its_hash(project: Project, hana: Person) -> None:
    job = brought_in(
        project, hana, *({"prompt": f"Sentence {n}.", "group": group_in(project, "test")} for n in range(30))
    )
    assert set(Prompt.objects.filter(project=project).values_list("split", flat=True)) == {"test"}
    assert job.result["linking"] == 0
    assert make_prompt(project, "Sentence 7!").split == "test", "its family lies there, whatever its own hash says"


def test_a_group_follows_its_oldest_relative(project: Project, hana: Person) -> None:
    first = make_prompt_in(project, "selection")
    group = group_in(project, "test")
    brought_in(
        project,
        hana,
        {"prompt": first.messages, "group": group},
        {"prompt": "Something else entirely.", "group": group},
    )
    assert make_prompt(project, "A third thing.", group=group).split == "selection"
    assert set(Prompt.objects.filter(project=project, group=group).values_list("split", flat=True)) == {"selection"}


def test_a_row_that_would_link_two_splits_is_kept_out_and_counted(project: Project, hana: Person) -> None:
    question = in_split(project, "train")
    group = group_in(project, "test")
    job = brought_in(
        project,
        hana,
        {"prompt": question},
        {"prompt": "Of the document.", "group": group},
        {"prompt": question, "group": group, "external_id": "links"},
    )
    assert (job.result["new"], job.result["linking"]) == (3, 1)
    linking = Prompt.objects.get(project=project, external_id="links")
    assert linking.split == "none"
    assert Prompt.objects.filter(project=project, split="train").count() == 1, "the older ones have not moved"
    assert make_prompt(project, question + " ").split == "train", "who has it as a relative only follows the older one"
    snapshot = make_snapshot(project, hana)
    assert snapshot.manifest["left_out"]["links_splits"] == 1
    assert set(snapshot.counts) == {"train", "selection", "test"}
    assert sum(kinds.get("prompt", 0) for kinds in snapshot.counts.values()) == 3


def test_a_file_says_where_a_prompt_was_and_older_relatives_win(project: Project, hana: Person) -> None:
    here = make_prompt_in(project, "train")
    alone = in_split(project, "train")
    job = brought_in(
        project,
        hana,
        {"prompt": alone, "split": "test"},
        {"prompt": here.messages, "split": "test"},
        {"prompt": "Said in other words", "family": alone, "split": "test"},
        {"prompt": "Nonsense", "split": "exam"},
    )
    splits = dict(Prompt.objects.filter(project=project).values_list("messages__0__content", "split"))
    assert splits == {alone: "test", here.text: "train", "Said in other words": "test"}
    assert (job.result["moved"], job.result["rejected"]) == (1, 1)
    assert make_prompt(project, alone).split == "test"
    assert make_prompt(project, "said in other words!").split == "test", (
        "an edit's words stay with what it is an edit of"
    )


def test_preferences_of_a_group_lie_together(project: Project, hana: Person) -> None:
    group = group_in(project, "selection")
    told: dict[str, Any] = {"chosen": "yes", "rejected": "no", "source": "s", "annotator_name": "n", "group": group}
    for n in range(4):
        messages = [{"role": "user", "content": f"Question {n}?"}]
        pair, _ = preferences.give_preference(project=project, by=hana, prompt_messages=messages, **told)
        assert (pair.prompt.split, pair.prompt.group) == ("selection", group)


@pytest.mark.parametrize("group", ["x" * 201, "nul\x00"])
def test_a_group_that_cannot_be_kept_is_refused(project: Project, group: str) -> None:
    with pytest.raises(Invalid) as refused:
        make_prompt(project, group=group)
    assert refused.value.field == "group"
    assert not Prompt.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_who_bring_relatives_at_once_agree(project: Project, hana: Person) -> None:
    """Both know of the other's row or are known by it: a group and a family with different hashes, many times over."""
    start = threading.Barrier(2)
    texts = [in_split(project, "train", f"Round {n}") for n in range(12)]
    group_of = {text: f"{text} of the test" for text in texts}
    errors: list[Exception] = []

    def bring(grouped: bool) -> None:
        try:
            for text in texts:
                start.wait(30)
                prompts.submit_prompt(
                    project=project,
                    by=None,
                    messages=[{"role": "user", "content": text}],
                    group=group_of[text] if grouped else "",
                )
        except Exception as error:  # noqa: BLE001 told below
            errors.append(error)
            start.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=bring, args=(grouped,)) for grouped in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for text in texts:
        family = family_of(project.split_salt, [{"role": "user", "content": text}])
        assert len(set(Prompt.objects.filter(family=family).values_list("split", flat=True))) == 1, connection.vendor


def test_the_migration_lets_visible_twins_find_old_families(project: Project, hana: Person) -> None:
    """Of a message with an invisible character, and of an edit that stayed in the family of what it edited."""
    add_keys = importlib.import_module("feedback.migrations.0016_keys_of_old_families").add_keys
    told = {"why is\u200b the screen blank": "a" * 64, "said otherwise": "b" * 64}
    elsewhere = {}
    talk = Conversation.objects.create(project=project, person=hana)
    for turn, (text, family) in enumerate(told.items(), start=1):
        messages = [{"role": "user", "content": text}]
        own = split_of(family_of(project.split_salt, messages))
        elsewhere[text] = next(split for split in ("test", "train") if split != own)
        Prompt.objects.create(
            project=project,
            messages=messages,
            family=family,
            split=elsewhere[text],
            **({"conversation": talk, "turn": turn} if family == "b" * 64 else {}),
        )
    add_keys(apps, None)
    assert set(FamilyKey.objects.values_list("family", flat=True)) == {"a" * 64, "b" * 64}
    for text, twin in zip(told, ("Why is the screen blank?", "SAID otherwise"), strict=True):
        assert make_prompt(project, twin).split == elsewhere[text]
    add_keys(apps, None)  # safe to repeat
    assert FamilyKey.objects.count() == 2


def test_relatives_are_looked_up_in_their_indexes(project: Project) -> None:
    """Reading all rows for each prompt would make an import of a million quadratic. No statistics: rows just came."""
    Prompt.objects.bulk_create(
        Prompt(project=project, messages=[], family=hashlib.sha256(b"%d" % n).hexdigest(), split="train", group=str(n))
        for n in range(3000)
    )
    for index in ("prompt_by_family", "prompt_by_group"):
        keys = '["0123abcd"]' if connection.vendor == "sqlite" else ["0123abcd"]
        explain = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN "
        with connection.cursor() as cursor:
            cursor.execute(explain + split_services.elders_statement(index), [keys, project.pk])
            plan = "\n".join(str(row) for row in cursor.fetchall())
        assert index in plan, plan
