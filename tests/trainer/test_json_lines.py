"""The service and the trainer write JSON Lines by functions of their own, which agree on what ends a line."""

import json

import pytest

from feedback.formats.json_lines import LINE_ENDS
from feedback.formats.json_lines import json_line as of_the_service
from trainer.data.json_lines import LINE_ENDS as OF_THE_TRAINER
from trainer.data.json_lines import json_line as of_the_trainer

ENDS = [chr(code) for code in range(0x3000) if len(f"a{chr(code)}b".splitlines()) > 1]


def test_both_know_the_same_ends() -> None:
    assert LINE_ENDS == OF_THE_TRAINER


@pytest.mark.parametrize("end", ENDS, ids=[f"U+{ord(end):04X}" for end in ENDS])
def test_both_write_one_line_that_both_read(end: str) -> None:
    row = {"id": 1, "text": f"one{end}two é"}
    lines = [of_the_service(row), of_the_trainer(row).removesuffix("\n")]
    assert [line.splitlines() for line in lines] == [[line] for line in lines]
    assert [json.loads(line) for line in lines] == [row, row]
