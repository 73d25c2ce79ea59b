"""Contests: all of a project, one with its evidence, and the form that opens one from a model's page.

Reviewers read them, admins act. Annotators vote, so no page tells them anything.
"""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from feedback.errors import DomainError, NotFound
from feedback.models import Contest, Project
from feedback.selectors.evaluation import contest_accounts, contest_outlook, gate, safety
from feedback.selectors.evaluation import contests as contest_selectors
from feedback.selectors.platform import access
from feedback.selectors.platform.access import ADMIN, REVIEWER
from feedback.services.evaluation import contests as contest_services
from feedback.services.evaluation import safety_tests
from feedback.web.evaluation.contest_forms import DEFAULT, ContestForm
from feedback.web.forms import add_error, form_status
from feedback.web.htmx import page_or_partial, wants_fragment
from feedback.web.pages import Context, person, project_page, viewer
from feedback.web.pagination import page_of
from feedback.web.platform.admin_common import same_project


@project_page(REVIEWER)
def contests(request: HttpRequest, project: Project) -> HttpResponse:
    page = page_of(contest_selectors.contests_of(project), request.GET.get("after"), size=20)
    rows = [(contest, contest_accounts.standings(contest)) for contest in page.rows]
    return render(request, "feedback/evaluation/contests.html", {"project": project, "page": page, "rows": rows})


@project_page(REVIEWER)
def contest(request: HttpRequest, project: Project, contest_id: UUID) -> HttpResponse:
    """One contest. Its figures poll while it runs; its curve fetches itself."""
    found = _found(request, project, contest_id)
    figures = contest_selectors.figures(found)
    names = access.may(viewer(request), project, ADMIN)
    candidates = []
    for one in figures.candidates:
        candidates.append(
            {
                "figures": one,
                "sentence": contest_accounts.sentence(figures, one),
                "by_annotator": contest_accounts.annotators(one, names=names),
                "safety": safety.in_words(one.version, found.plan.incumbent),
            }
        )
    context = {
        "project": project,
        "contest": found,
        "plan": found.plan,
        "figures": figures,
        "candidates": candidates,
        "waits_for": contest_accounts.waits_for(found),
        "live": found.state in Contest.LIVE,
        "polls": found.state == Contest.State.RUNNING,
        "waits_for_admin": contest_accounts.waits_for_admin(found, gate.serving(project)),
        "acts": names,
    }
    return page_or_partial(request, "evaluation/contest", context)


@project_page(REVIEWER)
def contest_evidence(request: HttpRequest, project: Project, contest_id: UUID) -> HttpResponse:
    """The curve of the evidence, as chart.js reads it."""
    return JsonResponse(contest_accounts.chart(_found(request, project, contest_id)))


@project_page(ADMIN)
def contest_new(request: HttpRequest, project: Project, model_id: UUID) -> HttpResponse:
    """What a contest of this version would take, and the form that opens it."""
    candidate = access.get_model(viewer(request), model_id)
    same_project(candidate, project)
    found_gate = gate.of(candidate) if candidate.kind == candidate.Kind.POLICY else None
    if found_gate is None or found_gate.serving is None or found_gate.serves:
        raise NotFound("Only a policy that does not serve can be compared, with the one that does. Open its page.")
    form = ContestForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            opened = contest_services.open_contest(
                by=person(request), project=project, candidates=[candidate], rules=form.rules()
            )
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, f"People compare {candidate} with {found_gate.serving} from now on.")
            return redirect("contest", project.slug, opened.public_id)
    rules = _chosen(request)
    context = {
        "project": project,
        "model": candidate,
        "gate": found_gate,
        "form": form,
        "running": contest_selectors.live(project),
        "outlook": contest_outlook.outlook(
            project,
            candidate,
            found_gate.serving,
            cap=rules.cap,
            votes_per_unit=rules.votes_per_unit,
            share=rules.share,
        ),
    }
    if wants_fragment(request) and request.method == "GET":
        return render(request, "feedback/evaluation/_outlook.html", context)
    return render(request, "feedback/evaluation/contest_new.html", context, status=form_status(form))


@require_POST
@project_page(ADMIN)
def contest_pause(request: HttpRequest, project: Project, contest_id: UUID) -> HttpResponse:
    found = _found(request, project, contest_id)
    contest_services.pause(by=person(request), contest=found)
    messages.success(request, "Paused. Annotators get no more tasks of it; what they hold still counts.")
    return redirect("contest", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def contest_resume(request: HttpRequest, project: Project, contest_id: UUID) -> HttpResponse:
    found = _found(request, project, contest_id)
    contest_services.resume(by=person(request), contest=found)
    messages.success(request, "It runs again.")
    return redirect("contest", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def contest_stop(request: HttpRequest, project: Project, contest_id: UUID) -> HttpResponse:
    found = _found(request, project, contest_id)
    contest_services.stop(by=person(request), contest=found)
    messages.success(request, "Stopped without a decision. Its open tasks are withdrawn.")
    return redirect("contest", project.slug, found.public_id)


@require_POST
@project_page(ADMIN)
def safety_test(request: HttpRequest, project: Project, model_id: UUID) -> HttpResponse:
    """Start the safety test of a policy."""
    candidate = access.get_model(viewer(request), model_id, ADMIN)
    same_project(candidate, project)
    test = safety_tests.request(by=person(request), candidate=candidate)
    messages.success(request, f"{str(test.guard).capitalize()} judges responses of {candidate} and {test.incumbent}.")
    return redirect("model", project.slug, candidate.public_id)


def on_model_page(found: gate.Gate) -> Context:
    """What the page of a policy says about people: how they compare it with what serves, or what asking would take."""
    if found.serving is None or found.serves:
        return {}
    context: Context = {"pleased": _pleased(found)}
    candidate = found.candidate
    if found.contest is not None:
        standing = contest_accounts.standing_of(found.contest, candidate)
        winner = found.contest.winner
        return context | {
            "standing": standing,
            "preferred": winner is not None and winner.model_version_id == candidate.pk,
        }
    if not found.final:
        context["outlook"] = contest_outlook.outlook(
            candidate.project,
            candidate,
            found.serving,
            cap=DEFAULT.cap,
            votes_per_unit=DEFAULT.votes_per_unit,
            share=DEFAULT.share,
        )
    return context


def _pleased(found: gate.Gate) -> Context | None:
    """How often a reward model prefers the version, which is shown as what it is: no evidence."""
    if found.evaluation is None:
        return None
    share = (found.evaluation.metrics.get("reward_model_win_rate") or {}).get("value")
    if not isinstance(share, int | float):
        return None
    return {"win_rate": share, "judge": str(found.reward_model or "the reward model")}


def _chosen(request: HttpRequest) -> contest_services.Rules:
    """The rules that the form shows now, for the outlook; what cannot be read is as it was at first."""
    given = request.POST if request.method == "POST" else request.GET
    form = ContestForm({"cap": DEFAULT.cap, "votes_per_unit": 1, "share": 50} | given.dict())
    return form.rules() if form.is_valid() else DEFAULT


def _found(request: HttpRequest, project: Project, key: UUID) -> Contest:
    found = access.get_contest(viewer(request), key)
    same_project(found, project)
    return found
