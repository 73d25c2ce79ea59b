"""A model that is not what its training chose is kept, and serves nobody."""

import pytest

from feedback.errors import ModelNotPromotable
from feedback.models import Event, ModelVersion, Person, Project
from feedback.services.registry import model_versions
from tests.factories import make_model

pytestmark = pytest.mark.database

FAULT = "The figure selection loss is 16.1700 of the model handed back; it was 6.4700 when its weights were chosen."


@pytest.fixture
def faulty(project: Project, ada: Person) -> ModelVersion:
    make_model(project, ada, serve=True)
    version = make_model(project, ada)
    version.manifest = {"faults": [{"name": "figures_differ", "text": FAULT}]}
    version.save(update_fields=["manifest"])
    return version


def test_it_can_be_neither_promoted_nor_approved_and_the_sentence_names_the_fault(
    project: Project, ada: Person, faulty: ModelVersion
) -> None:
    before = model_versions.serving(project)
    assert before is not None and before != faulty
    for act in (
        lambda: model_versions.promote(by=ada, model_version=faulty),
        lambda: model_versions.decide(by=ada, model_version=faulty, state="approved"),
    ):
        with pytest.raises(ModelNotPromotable, match=r"16\.1700 of the model handed back"):
            act()
    faulty.refresh_from_db()
    assert faulty.state == ModelVersion.State.CANDIDATE
    assert model_versions.serving(project) == before


def test_it_can_be_rejected(project: Project, ada: Person, faulty: ModelVersion) -> None:
    assert model_versions.decide(by=ada, model_version=faulty, state="rejected").state == ModelVersion.State.REJECTED


def test_a_first_policy_with_a_fault_does_not_serve(project: Project, ada: Person) -> None:
    sound = make_model(project, ada)
    run, manifest = sound.run, {"kind": "policy", "faults": [{"name": "saved_weights", "text": FAULT}]}
    model_versions.Deployment.objects.all().delete()
    sound.delete()
    assert run is not None
    version = model_versions.register(
        run=run, kind="policy", path="runs/x/model", manifest=manifest, manifest_sha256="1" * 64, metrics={}
    )
    assert version.state == ModelVersion.State.REJECTED and version.faults == [FAULT]
    assert model_versions.serving(project) is None
    assert list(Event.objects.order_by("-id").values_list("verb", flat=True)[:1]) == ["model.rejected"]
