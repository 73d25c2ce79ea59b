"""What the pages of the course show of a person and of a project."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from feedback.models import CardProgress, Learner, ModelVersion, Person, Project, QuizResult, Stage, TrainingRun
from feedback.rules.json_types import JsonObject
from feedback.rules.platform.glossary import TERMS
from feedback.rules.platform.learn.stage import DEPTHS, Depth, LearnStage
from feedback.rules.platform.term import Term
from feedback.selectors.data import tokenizers
from feedback.selectors.platform.home import Station
from feedback.selectors.training import stage_models
from feedback.selectors.training.runs import as_text

MOST_LOOKS = 60


def depth_of(person: Person) -> Depth:
    """The depth that this person reads in; basic until they choose."""
    stored = Learner.objects.filter(person=person).values_list("depth", flat=True).first()
    for depth in DEPTHS:
        if depth == stored:
            return depth
    return DEPTHS[0]


def quiz_results(person: Person) -> dict[str, QuizResult]:
    """The newest result of each stage."""
    found: dict[str, QuizResult] = {}
    for result in QuizResult.objects.filter(person=person).order_by("pk"):
        found[result.stage] = result
    return found


@dataclass(frozen=True)
class Card:
    """A flash card. `known` is what the person said last, None before the first time."""

    term: Term
    known: bool | None


def cards(person: Person, keys: Sequence[str] = ()) -> list[Card]:
    """Flash cards of these terms, or of all: first those to be shown again, then new ones, then those known."""
    known = dict(CardProgress.objects.filter(person=person).values_list("term", "known"))
    found = [Card(TERMS[key], known.get(key)) for key in keys or TERMS]
    return sorted(found, key=lambda card: {False: 0, None: 1, True: 2}[card.known])


@dataclass(frozen=True)
class Figure:
    """A live figure of the project for a stage: a step of its pipeline."""

    title: str
    figure: str
    caption: str
    last: str


HIDDEN_FROM_JUDGES = ("gate",)  # whether the candidate wins must not influence those who vote on it


def figures(stage: LearnStage, stations: dict[str, Station], titles: dict[str, str], judges: bool) -> list[Figure]:
    """Figures of the steps of the pipeline that belong to a stage.

    Args:
        judges: the viewer may vote on candidates, and must not know how they do.
    """
    found = []
    for key in stage.stations:
        station = stations[key]
        if not (judges and key in HIDDEN_FROM_JUDGES):
            found.append(Figure(titles[key], station.figure, station.caption, station.last))
    return found


@dataclass(frozen=True)
class Models:
    """The models of a project that the course tries things with, each None where there is none."""

    tokenizer: ModelVersion | None
    base: ModelVersion | None
    encoder: ModelVersion | None
    classifier: ModelVersion | None
    tagger: ModelVersion | None
    sft: ModelVersion | None
    reward: ModelVersion | None
    aligned: ModelVersion | None


def models_of(project: Project) -> Models:
    """The newest usable model of each kind."""
    kept = tokenizers.versions(project)
    sft = stage_models.newest(project, Stage.SFT)
    base = stage_models.newest(project, Stage.PRETRAIN)
    if sft is not None and sft.parent is not None:
        base = sft.parent  # what it was fine-tuned from
    return Models(
        tokenizer=kept[0] if kept else None,
        base=base,
        encoder=stage_models.newest(project, Stage.MLM),
        classifier=stage_models.newest(project, Stage.CLASSIFY),
        tagger=stage_models.newest(project, Stage.TAG),
        sft=sft,
        reward=stage_models.newest(project, Stage.REWARD),
        aligned=stage_models.newest(project, Stage.PPO),
    )


class Look(TypedDict):
    """A step of a PPO run: reward and KL where they were measured, and a response to each prompt."""

    step: int
    reward: float | None
    kl: float | None
    responses: list[str]


class OwnRun(TypedDict):
    """The newest PPO run of a project, as its slider shows it."""

    number: int
    kl_coef: float | None
    prompts: list[str]
    looks: list[Look]


def newest_ppo_run(project: Project) -> OwnRun | None:
    """The looks of the newest PPO run that has any."""
    runs = TrainingRun.objects.filter(project=project, stage=Stage.PPO, samples__isnull=False)
    run = runs.order_by("-number").first()
    if run is None:
        return None
    metrics = dict(run.points.values_list("step", "metrics"))
    prompts: list[str] = []
    looks: list[Look] = []
    for row in run.samples.order_by("step")[:MOST_LOOKS]:
        by_prompt = {as_text(sample.get("prompt", "")): str(sample.get("text", "")) for sample in row.samples}
        prompts = prompts or list(by_prompt)
        at = metrics.get(row.step, {})
        looks.append(
            {
                "step": row.step,
                "reward": number_in(at, "selection_score", "score"),
                "kl": number_in(at, "selection_kl", "kl"),
                "responses": [by_prompt.get(prompt, "") for prompt in prompts],
            }
        )
    coefficient = run.config.get("kl_coef")
    kl_coef = float(coefficient) if isinstance(coefficient, int | float) else None
    return {"number": run.number, "kl_coef": kl_coef, "prompts": prompts, "looks": looks}


def number_in(metrics: JsonObject, *names: str) -> float | None:
    """The first of these figures that is a number."""
    for name in names:
        value = metrics.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    return None
