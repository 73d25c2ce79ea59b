"""The stages of a pipeline: what each makes, starts from and reads, and which of them are alternatives.

The trainer holds the table (`trainer/stages.py`) and writes it to `stage_settings.json`; this module reads it. Names of
stages and kinds are those of `models.Stage` and `models.ModelVersion.Kind`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

from feedback.rules.training import stage_settings

CORPUS, LABELED = "corpus", "labelled"  # where texts come from
GIVEN = "given"  # in place of a stage: a model from elsewhere that an admin registered


@dataclass(frozen=True)
class StageRule:
    """One stage.

    Attributes:
        label: what sentences call it, such as "The reward model".
        makes: the kind of model; empty for none, as the stage that evaluates a policy.
        takes: kinds of model that may be named for it to start from.
        after: stages whose model it starts from when none is named; the first that has made one.
        given: the kind that GIVEN stands for in `after`.
        alternative: a pipeline holds at most one stage of each such group.
        family: stages of one family report the same figures.
        reads_texts: it reads a corpus, or the plain texts of labeled rows; the others read rows with annotations.
        needs_reward_model: it learns from completions that a reward model scores.
        rows, rows_otherwise: kinds of snapshot rows that it learns from, and those that stand in for them.
        reports: figures that every run of it reports.
        missing: what to say, and what to do, when there is nothing to start from.
    """

    name: str
    label: str
    makes: str
    takes: tuple[str, ...]
    after: tuple[str, ...]
    given: str
    alternative: str
    family: str
    reads_texts: bool
    needs_reward_model: bool
    rows: tuple[str, ...]
    rows_otherwise: tuple[str, ...]
    reports: tuple[str, ...]
    missing: str

    @property
    def evaluates(self) -> bool:
        """It measures a policy instead of making a model."""
        return not self.makes

    @property
    def checks_rows_before(self) -> bool:
        """Whether it is refused at once on a frozen snapshot without rows of its kinds.

        Missing demonstrations are left to the preflight check.
        """
        return bool(self.rows) and not self.reads_texts and "demonstration" not in self.rows


def _rule(row: dict[str, object]) -> StageRule:
    if set(row) != set(map(attrgetter("name"), fields(StageRule))):
        raise ValueError("stage_settings.json is of another version: run python -m trainer.describe.")
    values = dict(row)
    for key, value in row.items():
        if isinstance(value, list):
            values[key] = tuple(value)
    return StageRule(**values)  # type: ignore[arg-type]


STAGES: dict[str, StageRule] = {rule.name: rule for rule in map(_rule, stage_settings.pipeline())}
ORDER = tuple(STAGES)
ON_TEXTS = frozenset(name for name, rule in STAGES.items() if rule.reads_texts)
ALIGNMENT = tuple(name for name, rule in STAGES.items() if rule.alternative == "alignment")
DIRECT_ALIGNMENT = tuple(name for name in ALIGNMENT if not STAGES[name].needs_reward_model)
KIND_OF_STAGE = {name: rule.makes for name, rule in STAGES.items() if rule.makes}


def family_of(stage: str) -> str:
    """The family of a stage; empty for a name that is no stage of a pipeline, such as GIVEN."""
    if stage not in STAGES:
        return ""
    return STAGES[stage].family


class WrongStages(ValueError):
    """Stages that cannot be one chain; the text says why."""


def ordered(names: Sequence[str]) -> list[str]:
    """The stages of a chain in the order of the ring.

    Raises:
        WrongStages: none, an unknown one, one twice, or two ways of alignment.
    """
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise WrongStages(f"Unknown stage {unknown[0]!r}; choose from {', '.join(ORDER)}.")
    if not names or len(set(names)) != len(names):
        raise WrongStages("Name at least one stage, and each stage only once.")
    ways = [name for name in ORDER if name in names and name in ALIGNMENT]
    if len(ways) > 1:
        labels = " and ".join(STAGES[name].label for name in ways)
        raise WrongStages(f"{labels} are alternatives; choose one of them.")
    return sorted(names, key=ORDER.index)
