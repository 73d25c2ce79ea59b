"""No sentence for people tells where things lie on the server's disk."""

import pytest

from feedback.rules.platform.sentences import without_paths


@pytest.mark.parametrize(
    "told, shown",
    [
        ("model.safetensors in /srv/data/models/desk/3 differs.", "model.safetensors in 3 differs."),
        ("/var/lib/x y is missing.", "x y is missing."),
        ("config.json is missing from /srv/data/models/ab.", "config.json is missing from ab."),
        ("'/home/me/.cache/hub/model.bin' cannot be read", "'model.bin' cannot be read"),
        ("Try /api/v1/prompts/ or POST /v1/chat/completions.", "Try /api/v1/prompts/ or POST /v1/chat/completions."),
        ("See https://example.org/a/b and http://localhost:8000/v1/models.",) * 2,
        ("One and/or two, 3/4 of it, 5 / 6 / 7.",) * 2,
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(told, shown):
    assert without_paths(told) == shown
