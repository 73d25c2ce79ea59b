"""Whether active selection chooses in a project, and why not; the labels that it counts and that a replay uses."""

from dataclasses import dataclass

from django.db.models import QuerySet

from feedback.models import Choice, Job, ModelVersion, PreferencePair, Project, SelectionReplay, Split, Stage
from feedback.rules.evaluation import active_selection as rules
from feedback.rules.evaluation.active_selection import Difference, Obstacle, ReplayFigure, Settings, Situation
from feedback.selectors.data.training_queries import Policy, standing_pairs
from feedback.selectors.evaluation import live_accuracy
from feedback.selectors.training import stage_models


def settings_of(project: Project) -> Settings:
    return Settings.of(project.active_selection)


def reward_version(project: Project) -> ModelVersion | None:
    """The newest usable reward model: the one that scores."""
    return stage_models.newest(project, Stage.REWARD)


def pairs(project: Project, split: str) -> QuerySet[PreferencePair]:
    """Preference pairs of one split that a snapshot of the project would hold."""
    policy = Policy(**project.training_policy.get("snapshot", {}))
    return standing_pairs(project, policy).filter(prompt__split=split)


def labels(project: Project) -> int:
    """Preference pairs of training prompts."""
    return pairs(project, Split.TRAIN).order_by().count()


def unchosen_pairs(project: Project, split: str) -> QuerySet[PreferencePair]:
    """Those of tasks that no reward model chose."""
    return pairs(project, split).exclude(annotation__task__arm__in=rules.CHOSEN_BY_MODELS)


def newest_replay(project: Project, acquisition: str) -> SelectionReplay | None:
    return SelectionReplay.objects.filter(project=project, acquisition=acquisition).order_by("-id").first()


def situation(project: Project, settings: Settings | None = None) -> Situation:
    """What decides whether it may choose."""
    settings = settings or settings_of(project)
    version = reward_version(project)
    low, heads = None, 0
    if version is not None:
        low = _accuracy_low(version)
        heads = version.metrics.get("heads", 1)
    replay = newest_replay(project, settings.acquisition)
    drifting = live_accuracy.drifting(project)
    return Situation(labels(project), low, heads, _figure(replay), drifting)


def chooses(project: Project) -> bool:
    """Whether the next batch of the project is chosen actively."""
    settings = settings_of(project)
    return settings.on and not rules.against_choosing(settings, situation(project, settings))


@dataclass(frozen=True)
class Status:
    """Active selection as its page and the API tell it.

    Attributes:
        obstacles: where it is on, why the next batch is random all the same; else why it may not be switched on.
        unchosen: labels that a replay could use. replay_job: one that waits or runs. choice_job: likewise.
        trouble: why the last replay or choice failed, a sentence.
    """

    settings: Settings
    situation: Situation
    obstacles: list[Obstacle]
    replay: SelectionReplay | None
    unchosen: int
    replay_job: Job | None
    choice_job: Job | None
    last_choice: Choice | None
    trouble: str

    @property
    def may_be_switched_on(self) -> bool:
        return not self.settings.on and not self.obstacles

    @property
    def may_be_replayed(self) -> bool:
        return self.replay_job is None and not self.against_replay

    @property
    def against_replay(self) -> str:
        """Why no replay can be run, a sentence; empty where one can."""
        if self.unchosen < rules.REPLAY_LABELS:
            return (
                f"A replay needs {rules.REPLAY_LABELS:,} preference pairs that no model selected; "
                f"there are {self.unchosen:,}."
            )
        if self.situation.accuracy_low is None:
            return "A replay needs a reward model. Train one."
        return ""

    @property
    def sentence(self) -> str:
        """The state in words."""
        if self.settings.on and not self.obstacles:
            return "On. The reward model selects part of each batch."
        if self.settings.on:
            return "On, but the next tasks are random pairs."
        if self.settings.off_because == rules.DRIFT:
            return "Off. A drift alarm of the reward model switched it off."
        if self.settings.off_because == rules.REPLAY_REFUSED:
            return "Off. The last replay switched it off."
        return "Off. Tasks are random pairs."


def status(project: Project) -> Status:
    settings = settings_of(project)
    found = situation(project, settings)
    obstacles = rules.against_switching_on(found)
    if settings.on:
        obstacles = rules.against_choosing(settings, found)
    return Status(
        settings=settings,
        situation=found,
        obstacles=obstacles,
        replay=newest_replay(project, settings.acquisition),
        unchosen=unchosen_pairs(project, Split.TRAIN).order_by().count(),
        replay_job=active_job(project, Job.Kind.REPLAY),
        choice_job=active_job(project, Job.Kind.CHOICE),
        last_choice=Choice.objects.filter(project=project).order_by("-number").first(),
        trouble=_trouble(project),
    )


def active_job(project: Project, kind: str) -> Job | None:
    """The job of this kind that waits or runs."""
    return Job.objects.filter(project=project, kind=kind, status__in=Job.ACTIVE).order_by("-id").first()


def _trouble(project: Project) -> str:
    for kind in (Job.Kind.REPLAY, Job.Kind.CHOICE):
        last = Job.objects.filter(project=project, kind=kind).order_by("-id").first()
        if last is not None and last.status == Job.Status.FAILED:
            return f"{last.error} {last.remedy}".strip()
    return ""


def _accuracy_low(version: ModelVersion) -> float:
    """Low end of its selection accuracy; 0 where it was measured on nothing."""
    accuracy, number = version.metrics.get("selection_accuracy"), version.metrics.get("selection_pairs", 0)
    if accuracy is None or not number:
        return 0.0
    return rules.accuracy_low(float(accuracy), int(number))


def _figure(replay: SelectionReplay | None) -> ReplayFigure | None:
    if replay is None:
        return None
    difference = Difference(replay.difference, replay.low, replay.high)
    return ReplayFigure(replay.labels, difference, replay.learnable)
