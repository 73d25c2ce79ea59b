"""PandaLM's three annotators, brought in as a file, give on the quality page the figures of the plain computation."""

from itertools import combinations

import pytest

from feedback.models import Annotation, Person, Project
from feedback.rules.quality.agreement import cohen_kappa, krippendorff_alpha, raw_agreement
from feedback.selectors.quality import quality
from tests.conftest import SHARED_DATA
from tests.data.test_import import brought_in
from tests.quality.test_pandalm_agreement import FILE, rows

pytestmark = pytest.mark.database


@pytest.mark.skipif(not FILE.exists(), reason="PandaLM's answers (shared/data) are not on this machine")
def test_agreement_of_what_was_brought_in(project: Project, hana: Person, client_for) -> None:
    job = brought_in(project, hana, (SHARED_DATA / "pandalm_3annotators" / "pairs.jsonl").read_bytes(), "pandalm")
    assert (job.result["rejected"], job.result["tasks"]) == (0, len(rows()))
    assert Annotation.objects.filter(project=project).count() == 3 * len(rows())
    told = quality.quality(project)
    # The file's own codes: what is said of left and right there is said of letters here, so the figures are the same.
    assert told.agreement.units == 999
    assert told.agreement.raw == pytest.approx(raw_agreement(rows()))
    assert told.agreement.alpha == pytest.approx(krippendorff_alpha(rows()))
    theirs = {cohen_kappa([(row[a], row[b]) for row in rows()]) for a, b in combinations(range(3), 2)}
    kappas = sorted(kappa for kappa in theirs if kappa is not None)
    assert len(kappas) == len(told.pairs)
    assert sorted(pair.kappa for pair in told.pairs if pair.kappa is not None) == pytest.approx(kappas)
    reply = client_for(hana, "read").get("/api/v1/quality/", {"project": project.slug}).json()
    assert reply["agreement"]["alpha"] == pytest.approx(told.agreement.alpha, abs=1e-3)
