"""Snapshots: their contents, and the difference between two of them."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import Invalid
from feedback.models import Corpus, DatasetSnapshot, Project
from feedback.rules.json_types import JsonObject
from feedback.rules.training.policies import MOST_HELD_OUT
from feedback.selectors.data import snapshots
from feedback.selectors.platform import access, health
from feedback.selectors.platform.access import ADMIN
from feedback.selectors.quality import reliability
from feedback.selectors.registry import lineage
from feedback.selectors.training import runs
from feedback.services.data import snapshots as snapshot_services
from feedback.services.registry import model_versions
from feedback.web.htmx import page_or_partial
from feedback.web.pages import person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import same_project


@project_page(ADMIN)
def data(request: HttpRequest, project: Project) -> HttpResponse:
    """Snapshots, newest first, and the form that freezes another one."""
    page = page_of(snapshots.snapshots_of(project), request.GET.get("after"))
    rows, frozen = [], []
    waiting = False
    for row in page.rows:
        rows.append((row, snapshots.table(row).total))
        if row.state == DatasetSnapshot.State.FROZEN:
            frozen.append(row)
        elif row.state == DatasetSnapshot.State.DRAFT:
            waiting = True
    queue = None
    if waiting:
        queue = health.queue_now("default")
    context = {
        "project": project,
        "page": page,
        "rows": rows,
        "waiting": waiting,
        "there": queue,
        "stock": runs.stock(project, model_versions.serving(project)),
        "frozen": frozen,
        "corpora": list(Corpus.objects.filter(project=project).order_by("name")[:20]),
    }
    return page_or_partial(request, "data/snapshots", context)


@require_POST
@project_page(ADMIN)
def freeze(request: HttpRequest, project: Project) -> HttpResponse:
    """Request a snapshot of the feedback, or of a corpus."""
    purpose, corpus = DatasetSnapshot.Purpose.FEEDBACK, None
    policy: JsonObject = {}
    if key := request.POST.get("corpus"):
        corpus = access.get_corpus(viewer(request), key, ADMIN)
        same_project(corpus, project)
        purpose = DatasetSnapshot.Purpose.CORPUS
    else:
        if pairs := request.POST.get("pairs"):
            policy["pairs"] = pairs
        if "accepted" in request.POST:
            policy["accepted"] = True
        if weighing := request.POST.get("weigh_annotators"):
            policy["weigh_annotators"] = weighing
        if "include_excluded" in request.POST:
            policy["include_excluded"] = True
        if held_out := request.POST.get("held_out", "").strip():
            policy["held_out_annotators"] = _share(held_out)
    snapshot = snapshot_services.request_snapshot(
        project=project, by=person(request), purpose=purpose, corpus=corpus, policy=policy
    )
    messages.success(request, f"Snapshot {snapshot.number} requested; a worker freezes it.")
    return redirect("snapshot", project.slug, snapshot.public_id)


def _share(percent: str) -> float:
    """The share for a number of percent."""
    try:
        share = float(percent) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share <= MOST_HELD_OUT:
        raise Invalid(f"Hold out 0 to {MOST_HELD_OUT:.0%} of the annotators.", field="held_out")
    return share


@project_page(ADMIN)
def snapshot(request: HttpRequest, project: Project, snapshot_id: UUID) -> HttpResponse:
    """One snapshot. The page polls while it is written."""
    found = access.get_snapshot(viewer(request), snapshot_id)
    same_project(found, project)
    draft = found.state == DatasetSnapshot.State.DRAFT
    job_state = None
    if draft and (job := snapshots.freeze_job(found)) is not None:
        job_state = health.life(job)
    first_rows: list[snapshots.FirstRow] | None = []
    if found.state == DatasetSnapshot.State.FROZEN:
        first_rows = snapshots.first_rows(found)
    others = snapshots.snapshots_of(project).filter(state=DatasetSnapshot.State.FROZEN, purpose=found.purpose)
    context = {
        "project": project,
        "snapshot": found,
        "draft": draft,
        "life": job_state,
        "table": snapshots.table(found),
        "left_out": snapshots.left_out(found),
        "weighed": snapshots.weighed(found),
        "annotators": lineage.annotators(found),
        "weights": reliability.of_snapshot(found, with_names=True),
        "runs": snapshots.runs_on(found),
        "first_rows": first_rows,
        "others": list(others.exclude(pk=found.pk).order_by("-number")[:30]),
    }
    return page_or_partial(request, "data/snapshot", context)


@project_page(ADMIN)
def compare(request: HttpRequest, project: Project) -> HttpResponse:
    """The difference between two frozen snapshots, the older one first."""
    pair = snapshots.pick(project, [request.GET.get("one", ""), request.GET.get("other", "")])
    if len(pair) != 2 or pair[0].pk == pair[1].pk:
        raise Invalid("Choose two different frozen snapshots of this project.")
    one, other = sorted(pair, key=lambda row: row.number)
    context = {
        "project": project,
        "one": one,
        "other": other,
        "difference": snapshots.difference(one, other),
    }
    return render(request, "feedback/data/compare.html", context)
