"""Which models and settings a stage of a pipeline starts with: as foreseen before it, and as found when it begins."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import QuerySet

from feedback.models import Chain, ModelVersion, Project, Stage
from feedback.rules.evaluation import active_selection
from feedback.rules.training.policies import PipelineConfig
from feedback.rules.training.stage_settings import StageSettings
from feedback.rules.training.stages import GIVEN, STAGES, StageRule
from feedback.selectors.evaluation import gate
from feedback.selectors.screening import guard_models

DEFAULT_PRESET, PRETRAINED_PRESET = "small", "pretrained"
LARGE = 20_000_000  # parameters from which a model is no longer one that this service's small presets make


@dataclass(frozen=True)
class StageModels:
    """The models that a stage reads; those it does not need, or that do not exist yet, are None."""

    base: ModelVersion | None = None
    reward: ModelVersion | None = None
    incumbent: ModelVersion | None = None
    guard: ModelVersion | None = None


# --- settings --------------------------------------------------------------------------------------------


def settings_of(project: Project, stage: str, config: PipelineConfig) -> StageSettings:
    """A stage's settings: the project's, and over them the pipeline's own."""
    by_stage = project.training_policy.get("stages", {})
    return {**by_stage.get(stage, {}), **config.get(stage, {})}


def settings_of_run(project: Project, stage: str, config: PipelineConfig, base: ModelVersion | None) -> StageSettings:
    """All settings of a run, the preset first.

    Args:
        base: what the stage starts from. A pretrained model needs smaller steps than the preset for small models
            takes. It gets its own preset unless pipeline or project name another one.
    """
    named = config.get("preset")
    preset = named or project.training_policy.get("preset", DEFAULT_PRESET)
    if not named and preset == DEFAULT_PRESET and came_pretrained(base):
        preset = PRETRAINED_PRESET
    return {"preset": preset, **_for_active_selection(project, stage), **settings_of(project, stage, config)}


def _for_active_selection(project: Project, stage: str) -> StageSettings:
    """Several heads for a reward model whose disagreement is to choose pairs."""
    selection = active_selection.Settings.of(project.active_selection)
    if stage == Stage.REWARD and selection.on and selection.acquisition == active_selection.VARIANCE:
        return {"heads": active_selection.HEADS}
    return {}


def came_pretrained(version: ModelVersion | None) -> bool:
    """Whether a model, or one that it goes back to, came from elsewhere or is large."""
    while version is not None and version.kind != ModelVersion.Kind.TOKENIZER:
        if version.stage == GIVEN or version.metrics.get("parameters", 0) > LARGE:
            return True
        version = version.parent
    return False


@dataclass(frozen=True)
class GuardTerm:
    """The guard's term of the reward: the class that it rewards."""

    label: str


def guard_term(settings: StageSettings) -> GuardTerm | None:
    """The guard's term in the settings of a stage, if there is one."""
    terms = settings.get("terms")
    term = terms.get("guard") if isinstance(terms, dict) else None
    if not isinstance(term, dict):
        return None
    return GuardTerm(str(term.get("label")))


# --- models ----------------------------------------------------------------------------------------------


def usable(project: Project) -> QuerySet[ModelVersion]:
    """Versions that a stage may start from."""
    unfit = [ModelVersion.State.REJECTED, ModelVersion.State.REVOKED]
    return ModelVersion.objects.filter(project=project, tainted_at=None).exclude(state__in=unfit)


def newest(project: Project, *stages: str) -> ModelVersion | None:
    """The newest usable version that one of these stages made."""
    return usable(project).filter(stage__in=stages).order_by("-id").first()


def fits(stage: str, base: ModelVersion | None) -> bool:
    """Whether a stage can start from this model, which somebody named."""
    return base is not None and base.kind in STAGES[stage].takes


def start_model(project: Project, stage: str, named: ModelVersion | None) -> ModelVersion | None:
    """The named model if it fits; else the newest one of the first stage in `StageRule.after` that has made one."""
    rule = STAGES[stage]
    if fits(stage, named):
        return named
    if rule.evaluates:
        return newest(project, *rule.after)
    for before in rule.after:
        rows = usable(project).filter(stage=before)
        if before == GIVEN:
            rows = rows.filter(kind=rule.given)
        found = rows.order_by("-id").first()
        if found is not None:
            return found
    return None


def models_at_start(chain: Chain, stage: str, settings: StageSettings) -> StageModels:
    """What a stage starts from now: what its own pipeline has made, else what was named, else the newest that fits."""
    project, rule, made = chain.project, STAGES[stage], _made_by(chain)
    base = _base_made(rule, made) or start_model(project, stage, chain.base_model)
    guard = None
    if guard_term(settings):
        guard = made.get(Stage.CLASSIFY) or guard_models.term_model(project)
    if rule.evaluates:
        return _models_to_evaluate(project, base, made, guard)
    reward = None
    if rule.needs_reward_model:
        reward = made.get(Stage.REWARD) or newest(project, Stage.REWARD)
    return StageModels(base=base, reward=reward, guard=guard)


def models_foreseen(
    project: Project, stages: tuple[str, ...], stage: str, base: ModelVersion | None, settings: StageSettings
) -> StageModels:
    """What a stage of a pipeline that has not begun will read beside its base, as far as it exists already."""
    reward = guard = None
    if STAGES[stage].needs_reward_model and Stage.REWARD not in stages:
        reward = newest(project, Stage.REWARD)
    if guard_term(settings) and Stage.CLASSIFY not in stages:
        guard = guard_models.term_model(project)
    return StageModels(base=base, reward=reward, guard=guard)


def base_foreseen(
    project: Project, stages: tuple[str, ...], stage: str, named: ModelVersion | None
) -> ModelVersion | None:
    """The model that a stage will start from.

    A policy that an earlier stage has yet to make is represented by the one from which that stage starts: they have
    the same shape and the same tokenizer.
    """
    before, rule = stages[: stages.index(stage)], STAGES[stage]
    while earlier := _first_of(rule.after, before):
        if STAGES[earlier].makes != rule.makes and rule.makes != ModelVersion.Kind.REWARD:
            return None
        before, rule, stage = before[: before.index(earlier)], STAGES[earlier], earlier
    return start_model(project, stage, named)


def _first_of(wanted: tuple[str, ...], names: tuple[str, ...]) -> str | None:
    for name in wanted:
        if name in names:
            return name
    return None


def _made_by(chain: Chain) -> dict[str, ModelVersion]:
    """What the runs of a pipeline have made so far, by stage, in order."""
    runs = chain.runs.select_related("model_version__parent").order_by("position")
    return {run.stage: run.model_version for run in runs if hasattr(run, "model_version")}


def _base_made(rule: StageRule, made: Mapping[str, ModelVersion]) -> ModelVersion | None:
    if rule.evaluates:  # the last policy that was made
        policies = [version for version in made.values() if version.kind == ModelVersion.Kind.POLICY]
        return policies[-1] if policies else None
    earlier = _first_of(rule.after, tuple(made))
    return made[earlier] if earlier else None


def _models_to_evaluate(
    project: Project, base: ModelVersion | None, made: Mapping[str, ModelVersion], guard: ModelVersion | None
) -> StageModels:
    """An evaluation compares a policy with what serves, by the reward model that the policy was optimized for."""
    reward = made.get(Stage.REWARD) or _optimized_for(base) or newest(project, Stage.REWARD)
    incumbent = gate.serving(project) if base is not None else None
    if incumbent == base:
        incumbent = None
    return StageModels(base=base, reward=reward, incumbent=incumbent, guard=guard)


def _optimized_for(base: ModelVersion | None) -> ModelVersion | None:
    """The reward model that a policy was optimized for, while it may be used: its accuracy is what matters."""
    if base is None or base.run is None or base.run.reward_model is None:
        return None
    reward = base.run.reward_model
    return reward if usable(reward.project).filter(pk=reward.pk).exists() else None
