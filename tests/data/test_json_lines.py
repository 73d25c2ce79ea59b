"""What is one line here is one line for every reader."""

import ast
import json
from pathlib import Path

import pytest

from feedback.formats.json_lines import json_line

ROOT = Path(__file__).resolve().parent.parent.parent
ENDS = [chr(code) for code in range(0x3000) if len(f"a{chr(code)}b".splitlines()) > 1]
BYTES = {
    "trainer/recipes/generate.py",
    "workers/demo/trainer_files.py",
    "workers/handlers/progress_tailer.py",
}  # whose lines end at \n, \r\n, \r alone


def calls(node: ast.AST, name: str) -> bool:
    return any(isinstance(one, ast.Attribute) and one.attr == name for one in ast.walk(node))


def test_every_end_of_a_line_is_known() -> None:
    assert {"\x85", "\u2028", "\u2029"} <= set(ENDS)


@pytest.mark.parametrize("end", ENDS, ids=[f"U+{ord(end):04X}" for end in ENDS])
def test_no_reader_takes_a_character_for_the_end_of_a_line(end: str) -> None:
    row = {"text": f"one{end}two", f"key{end}": [end], "plain": "é"}
    line = json_line(row)
    assert json.loads(line) == row
    assert line.splitlines() == [line]
    assert f"{line}\n{line}\n".splitlines() == [line, line]  # as httpx's iter_lines decodes a reply
    assert "é" in line


def test_json_lines_are_nowhere_split_at_what_json_does_not_escape() -> None:
    loops = (ast.For, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    found = set()
    for room in ("feedback", "workers", "trainer"):
        for path in (ROOT / room).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            split = (node for node in ast.walk(tree) if isinstance(node, loops) and calls(node, "splitlines"))
            if any(calls(node, "loads") for node in split):
                found.add(str(path.relative_to(ROOT)))
    assert found == BYTES


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029"], ids=["U+0085", "U+2028", "U+2029"])
def test_an_event_is_one_line_of_data(end: str) -> None:
    from feedback import downloads
    from feedback.api.collection import chat_completions, response_streams

    for text in (
        response_streams.event("text", text=f"one{end}two"),
        chat_completions._data({"content": f"one{end}two"}),
    ):
        data = [line for line in text.splitlines() if line.startswith("data: ")]
        assert [f"one{end}two" in json.loads(line.removeprefix("data: ")).values() for line in data] == [True]
        assert text.endswith("\n\n")
    assert downloads.line({"text": f"one{end}two"}).splitlines() == [
        downloads.line({"text": f"one{end}two"}).rstrip("\n")
    ]
