"""Our rows in TRL's formats, word for word."""

import pytest

from feedback.formats.annotations import trl_rows

PROMPT = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {"kind": "preference", "prompt": PROMPT, "chosen": "a", "rejected": " b", "strength": 2},
            {
                "prompt": PROMPT,
                "chosen": [{"role": "assistant", "content": "a"}],
                "rejected": [{"role": "assistant", "content": " b"}],
            },
        ),
        (
            {"kind": "demonstration", "prompt": PROMPT, "completion": ""},
            {"prompt": PROMPT, "completion": [{"role": "assistant", "content": ""}]},
        ),
        (
            {"kind": "unpaired", "prompt": PROMPT, "completion": "a", "label": False},
            {"prompt": PROMPT, "completion": [{"role": "assistant", "content": "a"}], "label": False},
        ),
        ({"kind": "prompt", "prompt": PROMPT}, {"prompt": PROMPT}),
        ({"kind": "document", "text": "t", "source": "s", "document_kind": "note", "licence": "MIT"}, {"text": "t"}),
    ],
)
def test_each_kind_has_its_format(row, expected):
    assert trl_rows.convert(row) == expected


def test_an_unknown_kind_is_refused():
    with pytest.raises(KeyError):
        trl_rows.convert({"kind": "sonnet"})
