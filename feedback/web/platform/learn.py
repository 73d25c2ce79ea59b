"""The course: its path, a page for each stage, flash cards and quizzes."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from feedback.errors import Invalid, NotFound
from feedback.models import Project
from feedback.rules.platform.glossary import TERMS
from feedback.rules.platform.learn.course import BY_KEY, COURSE
from feedback.rules.platform.learn.recorded_runs import recording
from feedback.rules.platform.learn.stage import DEPTHS, Depth, LearnStage
from feedback.selectors.data import token_splits
from feedback.selectors.platform import home as home_selectors
from feedback.selectors.platform import learn as selectors
from feedback.selectors.platform.access import ADMIN, ANNOTATOR
from feedback.selectors.platform.learn import Figure
from feedback.services.platform import learn as services
from feedback.web.json_views import body_of, json_view
from feedback.web.pages import Context, person, project_page
from feedback.web.platform.home import page_of_station
from feedback.web.platform.page_context import Seat, Shell
from feedback.web.platform.pipeline_stages import STATIONS

DEPTH_WORDS: dict[Depth, str] = {"basic": "Basic", "medium": "Medium", "detailed": "Detailed"}
TITLES = {station.key: station.title for station in STATIONS}


@dataclass(frozen=True)
class Step:
    """A stage on the path, with the project's figures and the person's quiz."""

    stage: LearnStage
    address: str
    figures: list[Figure]
    right: int | None


@require_GET
@login_required
def course(request: HttpRequest) -> HttpResponse:
    """The path of all stages, with the figures of a project on it."""
    seat = _seat(request)
    results = selectors.quiz_results(person(request))
    stations = _stations(seat)
    steps = []
    for stage in COURSE:
        result = results.get(stage.key)
        right = None if result is None else result.right
        steps.append(Step(stage, _address(stage, seat), _figures(stage, stations, seat), right))
    known = sum(card.known is True for card in selectors.cards(person(request)))
    context = {**_frame(request, seat), "steps": steps, "known": known, "cards": len(TERMS)}
    return render(request, "feedback/platform/learn/course.html", context)


@require_GET
@login_required
def stage(request: HttpRequest, stage: str) -> HttpResponse:
    """One stage: a box to try something in, texts, terms, the project's figures, and a quiz."""
    found = _stage(stage)
    seat = _seat(request)
    place = COURSE.index(found)
    depth = selectors.depth_of(person(request))
    context = {
        **_frame(request, seat),
        "stage": found,
        "depth": depth,
        "paragraphs": found.paragraphs(depth),
        "figures": _figures(found, _stations(seat), seat),
        "button": _button(found, seat),
        "before": _neighbor(place - 1, seat),
        "after": _neighbor(place + 1, seat),
        "box": f"feedback/platform/learn/boxes/{found.key}.html",
        "script": f"feedback/learn/{found.key.replace('-', '_')}.js",
        "models": selectors.models_of(seat.project) if seat else None,
        "quiz": found.quiz,
        "result": selectors.quiz_results(person(request)).get(found.key),
    }
    return render(request, "feedback/platform/learn/stage.html", context)


@require_POST
@login_required
def set_depth(request: HttpRequest) -> HttpResponse:
    """Keep the depth for this person and show the page again."""
    services.set_depth(person=person(request), depth=request.POST.get("depth", ""))
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()}):
        back = reverse("learn")
    return redirect(back)


@require_GET
@login_required
def cards(request: HttpRequest) -> HttpResponse:
    """Flash cards of all terms, or of those of one stage."""
    stage = request.GET.get("stage", "")
    terms = BY_KEY[stage].terms if stage in BY_KEY else ()
    found = selectors.cards(person(request), terms)
    context = {
        **_frame(request, _seat(request)),
        "cards": found,
        "known": sum(card.known is True for card in found),
        "stages": COURSE,
        "chosen": stage if terms else "",
    }
    return render(request, "feedback/platform/learn/cards.html", context)


@require_POST
@json_view
def mark_card(request: HttpRequest, key: str) -> HttpResponse:
    """Keep whether a card was known."""
    services.mark_card(person=person(request), term=key, known=bool(body_of(request).get("known")))
    return JsonResponse({"known": sum(card.known is True for card in selectors.cards(person(request)))})


@require_POST
@json_view
def finish_quiz(request: HttpRequest, stage: str) -> HttpResponse:
    """Store the answers of a quiz, a list of places."""
    answers = body_of(request).get("answers")
    if not isinstance(answers, list):
        raise Invalid("`answers` must be a list.", field="answers")
    chosen = {place: answer for place, answer in enumerate(answers) if isinstance(answer, int)}
    result = services.record_quiz(person=person(request), stage=stage, chosen=chosen)
    return JsonResponse({"right": result.right, "questions": result.questions})


@require_POST
@json_view
@project_page()
def split_text(request: HttpRequest, project: Project) -> HttpResponse:
    """A text as characters, words and subwords, with the merges that make the subwords."""
    text = body_of(request).get("text")
    if not isinstance(text, str):
        raise Invalid("`text` must be a text.", field="text")
    splits = token_splits.split(selectors.models_of(project).tokenizer, text)
    states = []
    for state in splits.states:
        pieces = [piece for word in state.words for piece in word]
        states.append({"rank": state.rank, "pair": state.pair, "pieces": pieces})
    body = {
        "characters": splits.characters,
        "words": splits.words,
        "subwords": splits.subwords,
        "ids": splits.ids,
        "states": states,
        "merges": splits.merges,
        "vocabulary": splits.vocabulary,
    }
    return JsonResponse(body)


@require_GET
@json_view
def looks(request: HttpRequest) -> HttpResponse:
    """Looks of PPO runs: two recorded ones, and the newest one of the project for those who do not judge it."""
    seat = _seat(request)
    own = selectors.newest_ppo_run(seat.project) if seat and seat.role != ANNOTATOR else None
    return JsonResponse({"recorded": recording(), "own": own})


def _stage(key: str) -> LearnStage:
    if key not in BY_KEY:
        raise NotFound
    return BY_KEY[key]


def _seat(request: HttpRequest) -> Seat | None:
    """The seat in the project that the page shows: the one in the query, else the first one."""
    shell = Shell(request)
    if shell.seat is None and shell.seats and not request.GET.get("project"):
        return shell.seats[0]
    return shell.seat


def _frame(request: HttpRequest, seat: Seat | None) -> Context:
    """What every page of the course shows around its content."""
    shell = Shell(request)
    return {
        "seat": seat,
        "project": seat.project if seat else None,
        "seats": shell.seats,
        "query": urlencode({"project": seat.project.slug}) if seat else "",
        "depths": [(depth, DEPTH_WORDS[depth]) for depth in DEPTHS],
        "depth": selectors.depth_of(person(request)),
    }


def _stations(seat: Seat | None) -> dict[str, home_selectors.Station]:
    return home_selectors.pipeline(seat.project).stations if seat else {}


def _figures(stage: LearnStage, stations: dict[str, home_selectors.Station], seat: Seat | None) -> list[Figure]:
    if seat is None:
        return []
    return selectors.figures(stage, stations, TITLES, judges=seat.role == ANNOTATOR)


def _address(stage: LearnStage, seat: Seat | None) -> str:
    address = reverse("learn_stage", args=[stage.key])
    return f"{address}?{urlencode({'project': seat.project.slug})}" if seat else address


def _neighbor(place: int, seat: Seat | None) -> tuple[LearnStage, str] | None:
    if not 0 <= place < len(COURSE):
        return None
    return COURSE[place], _address(COURSE[place], seat)


def _button(stage: LearnStage, seat: Seat | None) -> tuple[str, str] | None:
    """What the person can do about this stage in the project: label and address."""
    if seat is None:
        return None
    slug = seat.project.slug
    if stage.key == "data-collection":
        return "Annotate", reverse("desk", args=[slug])
    if seat.role != ADMIN:
        return None
    label = "Open models" if stage.key == "evaluation" else "Open training"
    return label, page_of_station(seat.project, stage.stations[-1], None)
