"""Plans a pipeline: one request becomes one plan, whoever makes it.

The page's form, the REST API, schedules and preflight checks build a `PipelineRequest`. `plan_pipeline` says which
stages would run with which settings and models, and every problem that stands against it. Services act on the plan.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from feedback.errors import DomainError, Invalid, NothingToTrainOn, SnapshotRevoked
from feedback.models import Chain, Corpus, DatasetSnapshot, ModelVersion, Project, Stage
from feedback.rules.platform.known_names import unknown_name
from feedback.rules.training import policies, stages
from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.preflight import BLOCKING
from feedback.rules.training.stage_settings import StageSettings
from feedback.rules.training.stages import LABELED, ON_TEXTS, STAGES
from feedback.selectors.screening import guard_models
from feedback.selectors.training import missing_rows, stage_models
from feedback.selectors.training.stage_models import StageModels


@dataclass(frozen=True)
class PipelineRequest:
    """What somebody wants to train.

    Attributes:
        stages: names in any order; they run in the order of `rules.training.stages`.
        config: settings by stage, {"ppo": {"kl_coef": 0.05}}; "preset" chooses the base values.
        base_model: what every stage that it fits starts from, unless an earlier one of this pipeline made something;
            by default the newest model that fits.
        snapshot: a frozen snapshot of feedback; by default a new one is frozen when the first run starts.
        texts: where tokenizer and pretraining read: `corpus` or `labelled` (the texts under labels and spans); by
            default a corpus if there is one.
        corpus: which one, by default the newest that holds documents. corpus_snapshot: an existing snapshot of it.
        promote: request an admin's decision on the new policy at the end. Nothing is promoted by itself.
        ignore_findings: names of preflight findings that do not block it.
    """

    project: Project
    stages: tuple[str, ...]
    config: PipelineConfig = field(default_factory=dict)
    seed: int = 0
    base_model: ModelVersion | None = None
    snapshot: DatasetSnapshot | None = None
    texts: str = ""
    corpus: Corpus | None = None
    corpus_snapshot: DatasetSnapshot | None = None
    promote: bool = False
    ignore_findings: tuple[str, ...] = ()


@dataclass(frozen=True)
class StagePlan:
    """One stage as it would run: its settings, its snapshot, and the models that exist for it already."""

    stage: str
    settings: StageSettings
    snapshot: DatasetSnapshot | None
    models: StageModels


@dataclass(frozen=True)
class PipelinePlan:
    """What a pipeline would do.

    Attributes:
        request: as it was made, with its stages in order and `texts` decided.
        stages: empty where the request itself is wrong.
        problems: everything that stands against it, each with a sentence and, where one is to blame, a field.
    """

    request: PipelineRequest
    stages: tuple[StagePlan, ...]
    problems: tuple[DomainError, ...]

    def refuse_problems(self) -> None:
        """
        Raises:
            Invalid, NothingToTrainOn, SnapshotTooSmall, SnapshotRevoked: the first problem.
        """
        for problem in self.problems:
            raise problem


def plan_pipeline(request: PipelineRequest) -> PipelinePlan:
    """The plan of a request; its problems are listed, not raised."""
    problems = tuple(request_problems(request))
    if problems:
        return PipelinePlan(request, (), problems)
    request = replace(request, stages=tuple(stages.ordered(request.stages)))
    problems = tuple(missing_rows.corpus_problems(request.stages, request.corpus, request.texts))
    texts = missing_rows.texts_from(request.project, request.texts, request.corpus)
    request = replace(request, texts=texts)
    return PipelinePlan(request, plan_stages(request), (*problems, *_missing(request)))


def plan_stages(request: PipelineRequest) -> tuple[StagePlan, ...]:
    """The stages of a valid request, each with its settings and the models that exist for it already."""
    rows, texts = request.snapshot, request.corpus_snapshot
    if texts == rows:
        texts = rows  # labeled texts are the rows' own: one object, so that freezing it freezes it for all stages
    planned = []
    for stage in request.stages:
        base = stage_models.base_foreseen(request.project, request.stages, stage, request.base_model)
        settings = stage_models.settings_of_run(request.project, stage, request.config, base)
        models = stage_models.models_foreseen(request.project, request.stages, stage, base, settings)
        planned.append(StagePlan(stage, settings, texts if stage in ON_TEXTS else rows, models))
    return tuple(planned)


def request_of_chain(chain: Chain) -> PipelineRequest:
    """The request that a pipeline run was started from, on its own snapshots."""
    return PipelineRequest(
        project=chain.project,
        stages=tuple(chain.stages),
        config=chain.config,
        seed=chain.seed,
        base_model=chain.base_model,
        snapshot=chain.snapshot,
        corpus_snapshot=chain.corpus_snapshot,
        promote=chain.promote,
        ignore_findings=tuple(chain.ignore_findings),
    )


def request_for_rest_of(chain: Chain, position: int) -> PipelineRequest:
    """The stages of a pipeline run from `position` on, with its settings, on a snapshot that is frozen anew."""
    rest = tuple(chain.stages[position:])
    request = PipelineRequest(
        project=chain.project,
        stages=rest,
        config={name: values for name, values in chain.config.items() if name in rest or name == "preset"},
        seed=chain.seed,
        promote=chain.promote,
        ignore_findings=tuple(chain.ignore_findings),
    )
    if any(stage_models.fits(stage, chain.base_model) for stage in rest):
        request = replace(request, base_model=chain.base_model)
    texts = chain.corpus_snapshot
    if texts is None or not ON_TEXTS & set(rest):
        return request
    if texts.corpus is None:
        return replace(request, texts=LABELED)
    return replace(request, corpus=texts.corpus)


# --- problems --------------------------------------------------------------------------------------------


def request_problems(request: PipelineRequest) -> Iterator[DomainError]:
    """What is wrong with a request whatever the project holds."""
    yield from finding_problems(request.ignore_findings)
    try:
        stages.ordered(request.stages)
    except stages.WrongStages as error:
        yield Invalid(str(error), field="stages")
        return
    stray = sorted(set(request.config) - set(request.stages) - {"preset"})
    if stray:
        sentence = f"There are settings for {stray[0]!r}, which is not a stage of this pipeline run."
        yield Invalid(sentence, field="config")
        return
    try:
        policies.check_config(request.config)
    except policies.InvalidPolicy as error:
        yield Invalid(error.sentence, field=error.field)


def finding_problems(names: tuple[str, ...]) -> Iterator[DomainError]:
    """Names that no blocking finding of a preflight check has; the sentence gives the nearest known one."""
    for name in names:
        if name not in BLOCKING:
            yield Invalid(unknown_name(name, sorted(BLOCKING), "blocking finding"), field="ignore_findings")


def _missing(request: PipelineRequest) -> Iterator[DomainError]:
    """What the stages need and the project lacks, in the order in which it is to be mended."""
    snapshot = request.snapshot
    if snapshot is not None and snapshot.state == DatasetSnapshot.State.REVOKED:
        yield SnapshotRevoked()
    yield from _base_problems(request)
    if request.corpus is None:
        yield from missing_rows.text_problems(request.project, request.stages, request.texts)
    yield from _model_problems(request)
    if snapshot is None:
        yield from missing_rows.row_problems(request.project, request.stages, request.config)
    elif snapshot.state == DatasetSnapshot.State.FROZEN:
        yield from missing_rows.snapshot_problems(snapshot, request.stages)


def _base_problems(request: PipelineRequest) -> Iterator[DomainError]:
    base = request.base_model
    if base is None:
        return
    if base.state == ModelVersion.State.REVOKED or base.tainted_at is not None:
        yield Invalid(f"{base} was revoked, or its training rows were erased.", field="base_model")
    if any(stage_models.fits(stage, base) for stage in request.stages):
        return
    kinds: set[str] = set()
    for stage in request.stages:
        kinds |= set(STAGES[stage].takes)
    needed = "they need no base model"
    if kinds:
        needed = f"they start from a {' or '.join(sorted(kinds))}"
    yield Invalid(f"{base} does not fit these stages; {needed}.", field="base_model")


def _model_problems(request: PipelineRequest) -> Iterator[DomainError]:
    """A model that a stage starts from must exist, or be made by an earlier stage."""
    project = request.project
    made: set[str] = set()
    for stage in request.stages:
        rule = STAGES[stage]
        made_earlier = bool(made & set(rule.after))
        if rule.missing and not made_earlier and stage_models.start_model(project, stage, request.base_model) is None:
            yield NothingToTrainOn(rule.missing)
        if rule.needs_reward_model and Stage.REWARD not in made and not stage_models.newest(project, Stage.REWARD):
            without = " and ".join(STAGES[name].label for name in stages.DIRECT_ALIGNMENT)
            yield NothingToTrainOn(
                f"{rule.label} needs a reward model. Run the reward stage first or in the same pipeline run; "
                f"{without} need none."
            )
        if Stage.CLASSIFY not in made:
            yield from _guard_problems(request, stage)
        made.add(stage)


def _guard_problems(request: PipelineRequest, stage: str) -> Iterator[DomainError]:
    """The guard's term of the reward needs an approved classifier that knows its class."""
    term = stage_models.guard_term(stage_models.settings_of(request.project, stage, request.config))
    if term is None:
        return
    version = guard_models.term_model(request.project)
    if version is None:
        label = STAGES[stage].label
        yield NothingToTrainOn(
            f"The guard model term of {label} needs a classifier. Train one with the classify stage and approve it."
        )
        return
    classes = guard_models.classes_of(version)
    if term.label not in classes:
        yield Invalid(
            f"{version} has no class {term.label!r}; its classes are {', '.join(classes)}.",
            field=f"config.{stage}.terms.guard.label",
        )
