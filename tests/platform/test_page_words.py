"""Words, times and figures as pages show them."""

import re
from dataclasses import asdict, fields
from datetime import timedelta
from pathlib import Path

import pytest

from feedback.formats.markdown import to_html
from feedback.models import Concern, Job, Kind
from feedback.rules.platform.glossary import TERMS
from feedback.selectors.data.training_queries import Policy
from feedback.selectors.platform import home
from feedback.templatetags import feedback as tags
from feedback.templatetags import page_words
from feedback.web.platform.events import SENTENCES

FEEDBACK = Path(tags.__file__).parent.parent


def test_every_explained_word_is_in_the_glossary() -> None:
    used = set()
    for template in (FEEDBACK / "templates").rglob("*.html"):
        used |= set(re.findall(r'{%\s*term\s+"([^"]+)"', template.read_text()))
    assert used and used <= set(TERMS)


def test_every_icon_of_a_state_is_drawn() -> None:
    assert {icon for _, icon, _ in tags.STATES.values()} <= set(tags.ICONS)


def test_every_event_has_a_sentence() -> None:
    verbs = set()
    for source in (FEEDBACK / "services").rglob("*.py"):
        verbs |= set(re.findall(r'events\.record\(\s*"([a-z_.]+)"', source.read_text()))
    assert verbs and verbs <= set(SENTENCES)


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (2, "just now"),
        (40, "40 s ago"),
        (150, "2 min ago"),
        (3 * 3600, "3 h ago"),
        (3 * 86400, "3 d ago"),
        (-60, "in 60 s"),
    ],
)
def test_ages_in_words(age: int, words: str) -> None:
    assert tags.ago_words(timedelta(seconds=age)) == words


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (1234567, "1,234,567"), (0.12345, "0.12"), ("x", "x"), (True, "True")]
)
def test_figures(value: object, shown: str) -> None:
    assert tags.number(value) == shown  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "bad",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,hello)",
        "![x](https://evil.example/x.png)",
        '<a href="https://x" style="position:fixed">x</a>',
        "<svg/onload=alert(1)>",
    ],
)
def test_hostile_markdown_comes_out_harmless(bad: str) -> None:
    rendered = to_html(bad)
    assert not re.search(r"<(script|img|svg|style)\b", rendered)
    assert not re.search(r'(href|src)="(javascript|data):', rendered)
    assert not re.search(r"<[^>]+\s(on\w+|style)=", rendered)


def test_code_is_highlighted_by_classes_not_styles() -> None:
    rendered = to_html("```python\ndef f():\n    return 1\n```")
    assert 'class="hl-k"' in rendered and "style=" not in rendered


def test_links_tell_nothing_about_who_follows_them() -> None:
    assert 'rel="noopener noreferrer nofollow"' in to_html("[x](https://example.org)")


def test_jobs_kinds_and_reasons_are_never_told_by_their_names() -> None:
    assert {kind: page_words.job_kind(kind) for kind in Job.Kind} == page_words.JOBS
    assert set(home.CONCERNS) == set(Concern.Reason)
    instructed = {name for name, kind in page_words.KINDS.items() if kind.instruction}
    assert instructed == set(Kind) - {Kind.CONVERSATION}, "talks have a page of their own"
    assert {field.name for field in fields(Policy)} | {"hold_out"} == set(page_words.POLICY)
    told = {name: page_words.policy_value(value, name) for name, value in asdict(Policy()).items()}
    assert told["pairs"] == "every annotation" and not {"True", "False", ""} & set(told.values())
