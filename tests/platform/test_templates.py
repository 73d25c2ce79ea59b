"""What a formatter of templates cannot know: where CSS keeps white space, and how long a line may be."""

import re
from pathlib import Path

FEEDBACK = Path(__file__).resolve().parent.parent.parent / "feedback"
TEMPLATES = sorted((FEEDBACK / "templates").rglob("*.html"))
INLINE = {"span", "code", "kbd", "mark"}  # a formatter leaves the borders of these alone
EXPRESSION = r"\{[%{].*?[%}]\}"
OPENING = re.compile(rf"<([a-z][\w-]*)\b((?:{EXPRESSION}|\"(?:{EXPRESSION}|[^\"])*\"|[^>\"])*)>(.?)", re.DOTALL)
MOST_LONG = 0.01  # share of lines; a template's statement cannot be broken


def keeping_classes() -> set[str]:
    """Classes whose elements show white space as it is written."""
    found: set[str] = set()
    for sheet in (FEEDBACK / "static").rglob("*.css"):
        css = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
        for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css):
            if re.search(r"white-space:\s*pre", body):
                found |= set(re.findall(r"\.([\w-]+)\s*(?:,|$)", selectors.strip()))
    return found


def test_text_that_keeps_its_white_space_begins_at_its_tag() -> None:
    keeping = keeping_classes()
    assert {"plain", "text", "marking"} <= keeping
    broken = []
    for path in TEMPLATES:
        text = path.read_text(encoding="utf-8")
        for tag in OPENING.finditer(text):
            name, attributes, following = tag.groups()
            classes = re.search(r'class="([^"]*)"', attributes)
            named = set(re.sub(EXPRESSION, " ", classes[1]).split()) if classes else set()
            if (name == "pre" or named & keeping) and following.isspace() and name not in INLINE:
                broken.append(f"{path.name}:{text[: tag.start()].count(chr(10)) + 1}")
    assert broken == [], "put the text into a <span>, or {# djangofmt:ignore #} above the element"


def test_few_lines_are_longer_than_the_limit() -> None:
    lines = [line for path in TEMPLATES for line in path.read_text(encoding="utf-8").splitlines()]
    long = [line for line in lines if len(line) > 120]
    assert len(long) <= MOST_LONG * len(lines)
