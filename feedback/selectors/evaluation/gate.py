"""The gate of a policy: its figures, and the findings against serving it."""

from dataclasses import dataclass
from operator import attrgetter

from feedback.models import Contest, Deployment, Evaluation, ModelVersion, Project
from feedback.rules.evaluation import checks, gate, preconditions
from feedback.rules.evaluation.checks import Passed
from feedback.rules.evaluation.preconditions import WARN, Case, Evaluated, Finding
from feedback.rules.json_types import JsonObject
from feedback.rules.training import stage_settings
from feedback.rules.training.stages import ALIGNMENT
from feedback.selectors.evaluation import contests, safety


@dataclass(frozen=True)
class Gate:
    """A policy before the gate.

    Attributes:
        serving: what serves now; None while nothing does.
        evaluation: what the findings go by: the newest that compared with what serves, else the newest.
        reward_model: what the candidate was trained to please.
        preconditions: the findings that its own texts and training lead to, whatever people say.
        passed: the checks of these that led to no finding.
        contest: where people compare it with what serves, or did; None if nobody compared it.
    """

    candidate: ModelVersion
    serving: ModelVersion | None
    evaluation: Evaluation | None
    reward_model: ModelVersion | None
    findings: list[Finding]
    preconditions: list[Finding]
    passed: list[Passed]
    contest: Contest | None

    @property
    def blocking(self) -> list[Finding]:
        return gate.blocking(self.findings)

    @property
    def warnings(self) -> list[Finding]:
        return [one for one in self.findings if one.level == WARN]

    @property
    def final(self) -> list[Finding]:
        """Findings that no reason overrides."""
        return list(filter(attrgetter("final"), self.findings))

    @property
    def can_test_safety(self) -> bool:
        """Whether a safety test is what is missing, and can be started."""
        return any(one.name == "safety_untested" for one in self.findings)

    @property
    def first(self) -> bool:
        """Whether nothing serves yet, so that there is nothing to compare with."""
        return self.serving is None

    @property
    def serves(self) -> bool:
        return self.serving is not None and self.serving.pk == self.candidate.pk


def serving(project: Project) -> ModelVersion | None:
    """The serving version of the project."""
    rows = Deployment.objects.filter(project=project, until=None).select_related("model_version")
    deployment = rows.order_by("-id").first()
    if deployment:
        return deployment.model_version
    return None


def of(version: ModelVersion) -> Gate:
    """The gate of a policy as it stands now. Ten queries at most."""
    serves = serving(version.project)
    contest = contests.between(version, serves)
    evaluation = _evaluation(version, serves)
    run, pleased, budget, measured = version.run, None, None, None
    if run is not None:
        pleased = run.reward_model
        budget = run.metrics.get("kl_budget", stage_settings.value(run.stage, "kl_budget", run.config))
    if evaluation is not None:
        measured = _measured(evaluation, serves)
    case = Case(
        candidate=str(version),
        serving=str(serves or ""),
        aligned=version.stage in ALIGNMENT,
        optimized_for=str(pleased or ""),
        kl_budget=float(budget or 0.0),
        not_promotable=tuple(version.faults),
        tainted=version.tainted_at is not None,
        state=version.state,
        evaluation=measured,
        people=None if contest is None else contests.people(contest, version),
        safety=None if serves is None or serves.pk == version.pk else safety.judged(version, serves),
    )
    found = gate.findings(case)
    required = [one for one in preconditions.preconditions(case) if one in found]
    passed = []
    if measured is not None:
        passed = checks.passed(measured.metrics, required, measured.opponent, case.kl_budget)
    return Gate(version, serves, evaluation, pleased, found, required, passed, contest)


def of_reward_model(version: ModelVersion) -> list[Finding]:
    """Findings against relying on a reward model, from the newest evaluation that measured it."""
    newest = Evaluation.objects.filter(run__reward_model=version).order_by("-pk").first()
    metrics: JsonObject = {}
    if newest is not None:
        metrics = newest.metrics.get("reward_model") or {}
    return preconditions.of_reward_model(str(version), metrics)


def _evaluation(version: ModelVersion, serves: ModelVersion | None) -> Evaluation | None:
    rows = version.evaluations.select_related("incumbent", "run__reward_model").order_by("-pk")
    if serves is not None and (compared := rows.filter(incumbent=serves).first()) is not None:
        return compared
    return rows.first()


def _measured(evaluation: Evaluation, serves: ModelVersion | None) -> Evaluated:
    opponent, run = evaluation.incumbent, evaluation.run
    judge = None
    if run is not None:
        judge = run.reward_model
    return Evaluated(
        opponent=str(opponent or ""),
        serves=opponent is not None and serves is not None and opponent.pk == serves.pk,
        reward_model=str(judge or ""),
        metrics=evaluation.metrics,
    )
