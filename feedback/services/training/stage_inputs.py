"""What the stages of a chain start from: models, rows and texts, and what to say when they are not there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q

from feedback.errors import Invalid, NothingToTrainOn, SnapshotRevoked, SnapshotTooSmall
from feedback.models import (
    Annotation,
    Chain,
    Corpus,
    DatasetSnapshot,
    Document,
    ModelVersion,
    Person,
    PreferencePair,
    Project,
    Split,
    Stage,
    Thumb,
)
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.platform.known_names import unknown_name
from feedback.rules.training import policies
from feedback.rules.training import stages as rules
from feedback.rules.training.preflight import BLOCKING
from feedback.rules.training.stages import CORPUS, LABELLED, ON_TEXTS, STAGES
from feedback.selectors.data import training_queries
from feedback.selectors.screening import guard_models
from feedback.services.data import snapshots
from feedback.services.registry import model_versions

PAIRS_NEEDED = {Stage.REWARD: "A reward model", Stage.DPO: "DPO"}
LARGE = 20_000_000  # parameters from which a model is no longer one that this service's small presets make
LABELS_NEEDED = {Stage.CLASSIFY: "classification", Stage.TAG: "spans"}


def settled(
    project: Project,
    stages: list[str],
    *,
    config: dict[str, Any],
    base_model: ModelVersion | None,
    snapshot: DatasetSnapshot | None,
    texts: str,
    corpus: Corpus | None = None,
) -> tuple[list[str], dict[str, Any], str]:
    """Stages in order, their settings and where texts come from, once all of it is known to make a chain.

    Raises:
        Invalid, NothingToTrainOn, SnapshotTooSmall, SnapshotRevoked: see `training.start_chain`.
    """
    stages = ordered(stages)
    stray = sorted(set(config) - set(stages) - {"preset"})
    if stray:
        raise Invalid(
            f"There are settings for {stray[0]!r}, which is not a stage of this pipeline run.", field="config"
        )
    try:
        policies.check_config(config)
    except policies.InvalidPolicy as error:
        raise Invalid(error.sentence, field=error.field) from None
    if snapshot is not None and snapshot.state == DatasetSnapshot.State.REVOKED:
        raise SnapshotRevoked
    if corpus is not None:
        _check_corpus(stages, corpus, texts)
    texts = CORPUS if corpus is not None else texts_from(project, stages, texts)
    check(project, stages, base_model=base_model, snapshot=snapshot, texts=texts, config=config)
    return stages, config, texts


def refuse_unknown_findings(names: Sequence[str]) -> None:
    """
    Raises:
        Invalid: one of these is no name of a finding that can block; the sentence says the nearest known one.
    """
    for name in names:
        if name not in BLOCKING:
            raise Invalid(unknown_name(name, sorted(BLOCKING), "blocking finding"), field="ignore_findings")


def ordered(stages: list[str]) -> list[str]:
    try:
        return rules.ordered(stages)
    except rules.WrongStages as error:
        raise Invalid(str(error), field="stages") from None


def check(
    project: Project,
    stages: list[str],
    *,
    base_model: ModelVersion | None,
    snapshot: DatasetSnapshot | None,
    texts: str,
    config: dict[str, Any],
) -> None:
    """Cheap checks before anything is queued: what a stage starts from must be there, or come before it.

    Raises:
        Invalid: the base model fits no stage, or a classifier must be reported which label scheme to learn.
        NothingToTrainOn, SnapshotTooSmall: something is missing; the sentence says what to do.
    """
    _check_base(stages, base_model)
    _check_texts(project, stages, texts)
    made: set[str] = set()
    for stage in stages:
        rule = STAGES[stage]
        if rule.missing and not (made & set(rule.after)) and _start(project, stage, base_model) is None:
            raise NothingToTrainOn(rule.missing)
        if rule.needs_reward_model and Stage.REWARD not in made and newest(project, Stage.REWARD) is None:
            raise NothingToTrainOn(
                f"{stage.upper()} needs a reward model. Run the reward stage first or in the same "
                "pipeline run; DPO and KTO need none."
            )
        _check_guard(project, stage, made, settings_of(project, stage, config))
        made.add(stage)
    if snapshot is None:
        _check_rows(project, stages, config)
    elif snapshot.state == DatasetSnapshot.State.FROZEN:
        _check_frozen(snapshot, stages)


@dataclass
class Start:
    """The models that a stage reads; those it does not need are None."""

    base: ModelVersion | None = None
    reward: ModelVersion | None = None
    incumbent: ModelVersion | None = None
    guard: ModelVersion | None = None


def start_of(chain: Chain, stage: str, settings: dict[str, Any]) -> Start:
    """What a stage starts from: what its own chain has made, else what was named, else the newest that fits."""
    runs = chain.runs.select_related("model_version__parent").order_by("position")
    made = {run.stage: run.model_version for run in runs if hasattr(run, "model_version")}
    rule = STAGES[stage]
    base = next((made[name] for name in rule.after if name in made), None)
    if stage == Stage.EVALUATE:  # the last policy that this chain has made
        base = next((made[name] for name in reversed(made) if made[name].kind == ModelVersion.Kind.POLICY), None)
    start = Start(base=base or _start(chain.project, stage, chain.base_model))
    if rule.needs_reward_model or stage == Stage.EVALUATE:
        pleased = _optimized_for(start.base) if stage == Stage.EVALUATE else None
        start.reward = made.get(Stage.REWARD) or pleased or newest(chain.project, Stage.REWARD)
    if guard_term(settings):
        start.guard = made.get(Stage.CLASSIFY) or guard_models.term_model(chain.project)
    if stage == Stage.EVALUATE and start.base is not None:
        serving = model_versions.serving(chain.project)
        start.incumbent = None if serving == start.base else serving
    return start


def _optimized_for(base: ModelVersion | None) -> ModelVersion | None:
    """The reward model that a policy was trained to please, while that may be used: its accuracy is what matters."""
    reward = base.run.reward_model if base is not None and base.run is not None else None
    return reward if reward is not None and _usable(reward.project).filter(pk=reward.pk).exists() else None


def foreseen(project: Project, stages: list[str], stage: str, named: ModelVersion | None) -> Start:
    """What a stage of a chain that has not begun will start from, as far as it is there already.

    A policy that an earlier stage has yet to make is stood in for by the one which that stage starts from: they are of
    one shape and one tokenizer.
    """
    before = stages[: stages.index(stage)]
    rule, start = STAGES[stage], Start()
    while earlier := next((name for name in rule.after if name in before), None):
        if STAGES[earlier].makes != rule.makes and rule.makes != ModelVersion.Kind.REWARD:
            return start
        before, rule, stage = before[: before.index(earlier)], STAGES[earlier], earlier
    start.base = _start(project, stage, named)
    return start


def fits(stage: str, base: ModelVersion | None) -> bool:
    """Whether a stage can start from this model, which somebody named."""
    return base is not None and base.kind in STAGES[stage].takes


def guard_term(settings: dict[str, Any]) -> dict[str, Any] | None:
    """The guard's term of the reward, {"weight", "label"}, if these settings of a stage have one."""
    terms = settings.get("terms")
    term = terms.get("guard") if isinstance(terms, dict) else None
    return term if isinstance(term, dict) else None


def newest(project: Project, *stages: str) -> ModelVersion | None:
    """The newest usable version that one of these stages made."""
    return _usable(project).filter(stage__in=stages).order_by("-id").first()


def texts_from(project: Project, stages: list[str], wanted: str) -> str:
    """Where stages that read texts take them from: as requested, else the corpus, else the texts that people
    labelled."""
    if wanted:
        return wanted
    return CORPUS if Document.objects.standing().filter(corpus__project=project).exists() else LABELLED


def drafts(
    project: Project,
    by: Person | None,
    stages: list[str],
    snapshot: DatasetSnapshot | None,
    texts: str,
    corpus: Corpus | None = None,
) -> tuple[DatasetSnapshot | None, DatasetSnapshot | None]:
    """(rows, texts): snapshots for a chain, drafts that its first run freezes. Labelled texts are the rows' own.

    Texts are those of `corpus`, by default of the newest that holds any.
    """
    reads_texts, labelled = bool(set(stages) & ON_TEXTS), texts == LABELLED
    if snapshot is None and (set(stages) - ON_TEXTS or (reads_texts and labelled)):
        snapshot = snapshots.request_snapshot(
            project=project, by=by, purpose=DatasetSnapshot.Purpose.FEEDBACK, job=False
        )
    if not reads_texts or labelled:
        return snapshot, snapshot if reads_texts else None
    holding = Document.objects.standing().filter(corpus=OuterRef("pk"))
    corpus = corpus or Corpus.objects.filter(Exists(holding), project=project).order_by("-id").first()
    snapshot_job = snapshots.request_snapshot(
        project=project, by=by, purpose=DatasetSnapshot.Purpose.CORPUS, corpus=corpus, job=False
    )
    return snapshot, snapshot_job


def _usable(project: Project) -> Any:
    unfit = [ModelVersion.State.REJECTED, ModelVersion.State.REVOKED]
    return ModelVersion.objects.filter(project=project, tainted_at=None).exclude(state__in=unfit)


def _start(project: Project, stage: str, named: ModelVersion | None) -> ModelVersion | None:
    """What is named if it fits; else the newest of the first of the rule's stages that has made one."""
    rule = STAGES[stage]
    if named is not None and named.kind in rule.takes:
        return named
    if stage == Stage.EVALUATE:
        return newest(project, *rule.after)
    for before in rule.after:
        kind = {"kind": rule.given} if before == rules.GIVEN else {}
        found = _usable(project).filter(stage=before, **kind).order_by("-id").first()
        if found is not None:
            return found
    return None


def came_pretrained(version: ModelVersion | None) -> bool:
    """Whether a model, or one that it goes back to, came from elsewhere or is large."""
    while version is not None and version.kind != ModelVersion.Kind.TOKENIZER:
        if version.stage == rules.GIVEN or version.metrics.get("parameters", 0) > LARGE:
            return True
        version = version.parent
    return False


def settings_of(project: Project, stage: str, config: dict[str, Any]) -> dict[str, Any]:
    """A stage's settings in a chain: the project's, and over them the chain's own."""
    own: dict[str, Any] = project.training_policy.get("stages", {}).get(stage, {})
    return own | config.get(stage, {})


def _check_guard(project: Project, stage: str, made: set[str], settings: dict[str, Any]) -> None:
    term = guard_term(settings)
    if term is None or Stage.CLASSIFY in made:
        return
    version = guard_models.term_model(project)
    if version is None:
        raise NothingToTrainOn(
            f"The guard model term of {stage.upper()} needs a classifier. Train one with the classify "
            "stage and approve it."
        )
    classes = guard_models.classes_of(version)
    if term.get("label") not in classes:
        raise Invalid(
            f"{version} has no class {term.get('label')!r}; its classes are {', '.join(classes)}.",
            field=f"config.{stage}.terms.guard.label",
        )


def _check_base(stages: list[str], base: ModelVersion | None) -> None:
    if base is None:
        return
    if base.state == ModelVersion.State.REVOKED or base.tainted_at is not None:
        raise Invalid(f"{base} was revoked, or its training rows were erased.", field="base_model")
    if not any(base.kind in STAGES[stage].takes for stage in stages):
        kinds = sorted({kind for stage in stages for kind in STAGES[stage].takes})
        fits = f"they start from a {' or '.join(kinds)}" if kinds else "they need no base model"
        raise Invalid(f"{base} does not fit these stages; {fits}.", field="base_model")


def _check_corpus(stages: list[str], corpus: Corpus, texts: str) -> None:
    """A corpus that is named must be one that something reads."""
    if texts == LABELLED:
        raise Invalid("Texts come from a corpus or from labeled texts; name one of the two.", field="corpus")
    if not set(stages) & ON_TEXTS:
        raise Invalid(f"None of these stages reads a corpus; {', '.join(sorted(ON_TEXTS))} do.", field="corpus")
    if not Document.objects.standing().filter(corpus=corpus).exists():
        raise NothingToTrainOn(f"The corpus {corpus.name!r} has no documents. Add some, or choose another corpus.")


def _check_texts(project: Project, stages: list[str], texts: str) -> None:
    reading = [stage for stage in stages if stage in ON_TEXTS]
    if not reading:
        return
    if texts == CORPUS and not Document.objects.standing().filter(corpus__project=project).exists():
        raise NothingToTrainOn("This project has no corpus. Add documents before training a tokenizer or a base model.")
    if texts == LABELLED and not any(_labelled(project, kind).exists() for kind in LABELS_NEEDED.values()):
        raise NothingToTrainOn(
            "This project has no corpus and no labeled texts. Add documents before training a "
            "tokenizer or a base model, or label some texts."
        )


def _check_rows(project: Project, stages: list[str], config: dict[str, Any]) -> None:
    """What a snapshot frozen now would hold."""
    pairs = PreferencePair.objects.standing().filter(project=project, prompt__split=Split.TRAIN)
    for stage, name in PAIRS_NEEDED.items():
        if stage in stages and pairs[:2].count() < 2:
            raise SnapshotTooSmall(
                f"{name} needs preference pairs on training prompts, and there are fewer than two. "
                "Annotate some tasks first."
            )
    if Stage.KTO in stages and not pairs.exists() and not _unpaired(project):
        raise SnapshotTooSmall(
            "KTO needs responses rated good or bad: thumbs, ratings or preference pairs on training "
            "prompts. There are none yet."
        )
    prompts = training_queries.asked_of_models(project, training_queries.Policy()).filter(split=Split.TRAIN)
    if (sampled := [stage for stage in stages if STAGES[stage].needs_reward_model]) and not prompts.exists():
        raise SnapshotTooSmall(
            f"{sampled[0].upper()} samples responses to training prompts, and there are none. Submit "
            "prompts first; texts for labeling only do not count."
        )
    for stage, kind in LABELS_NEEDED.items():
        if stage in stages:
            _check_labels(project, stage, kind, config)


def _check_labels(project: Project, stage: str, kind: str, config: dict[str, Any]) -> None:
    wanted = settings_of(project, stage, config).get("scheme", "")
    fitting = sorted(name for name, scheme in project.label_scheme.items() if scheme.get("kind") == kind)
    if wanted and wanted not in fitting:
        raise Invalid(
            f"The project has no label scheme {wanted!r} of kind {kind}; it has {', '.join(fitting) or 'none'}.",
            field=f"config.{stage}.scheme",
        )
    labelled = _labelled(project, kind)
    if wanted:
        labelled = labelled.filter(task__ask__scheme=wanted)
    elif len(used := [one for one in fitting if labelled.filter(task__ask__scheme=one).exists()]) > 1:
        raise Invalid(
            f"Several label schemes have annotations: {', '.join(used)}. Name the one to learn: "
            f'{{"{stage}": {{"scheme": "{used[0]}"}}}}.',
            field=f"config.{stage}.scheme",
        )
    if labelled[:2].count() < 2:
        what = KINDS[kind].training_texts
        raise SnapshotTooSmall(
            f"{stage.capitalize()} needs {what} on training prompts, and there are fewer than two. Add "
            f"a label scheme, then annotate or import tasks of kind {kind}."
        )


def _check_frozen(snapshot: DatasetSnapshot, stages: list[str]) -> None:
    """What a given snapshot must hold, by its own manifest."""
    counts = snapshot.counts.get("train", {})
    needed: dict[str, tuple[str, ...]] = dict.fromkeys(map(str, PAIRS_NEEDED), ("preference",))
    needed |= {stage: (kind,) for stage, kind in LABELS_NEEDED.items()}
    needed[Stage.KTO] = ("unpaired", "preference")
    needed |= {stage: ("prompt",) for stage, rule in STAGES.items() if rule.needs_reward_model}
    for stage in stages:
        kinds = needed.get(stage, ())
        if kinds and not any(counts.get(kind) for kind in kinds):
            raise SnapshotTooSmall(
                f"Snapshot {snapshot.number} has no {' or '.join(kinds)} rows to train on, which {stage} needs. "
                "Choose another, or freeze a new one."
            )


def _labelled(project: Project, kind: str) -> Any:
    """Current answers of a kind on training prompts that train (checks and training rounds do not)."""
    rows = Annotation.objects.filter(project=project, kind=kind, task__prompt__split=Split.TRAIN)
    rows = rows.filter(task__gold__isnull=True, task__training_round=False)
    return rows.filter(assignment__current__isnull=False)


def _unpaired(project: Project) -> bool:
    train = Q(task__prompt__split=Split.TRAIN)
    annotations = Annotation.objects.filter(train, project=project)
    return (
        Thumb.objects.filter(response__project=project, response__prompt__split=Split.TRAIN).exists()
        or annotations.filter(kind="rating").exists()
        or annotations.filter(payload__outcome="both_bad").exists()
    )
