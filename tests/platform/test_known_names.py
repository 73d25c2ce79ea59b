"""An unknown name is answered with the nearest known one."""

import pytest

from feedback.rules.platform.known_names import nearest, unknown_name

FIELDS = ("text", "model_name", "model_version", "external_id", "responses_wanted", "annotations_per_task")


@pytest.mark.parametrize(
    "given, meant",
    [
        ("respones_wanted", "responses_wanted"),
        ("annotation_per_task", "annotations_per_task"),
        ("external-id", "external_id"),
        ("externalId", "external_id"),
        ("Text", "text"),
        ("model", "model_name"),
        ("zzz", None),
    ],
)
def test_the_nearest_known_name(given, meant):
    assert nearest(given, FIELDS) == meant


def test_the_sentence():
    assert unknown_name("modelname", FIELDS) == "There is no field 'modelname' here. Did you mean 'model_name'?"
    assert unknown_name("q", ("b", "a")) == "There is no field 'q' here; known are a, b."
    assert unknown_name("q", ()) == "There is no field 'q'; none is accepted here."
    assert unknown_name("porject", ("project", "page_size"), "query parameter").endswith("Did you mean 'project'?")
