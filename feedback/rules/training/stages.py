"""The stages of training as a table: what each makes, starts from and reads, and which of them stand for one another.

In the order of the ring. Names of stages and kinds are those of `models.Stage` and `models.ModelVersion.Kind`.
"""

from dataclasses import dataclass

TOKENIZER, POLICY, REWARD, ENCODER, CLASSIFIER, TAGGER = (
    "tokenizer",
    "policy",
    "reward",
    "encoder",
    "classifier",
    "tagger",
)
TEXTS, ROWS = "texts", "rows"  # a corpus, or the plain texts of labelled rows; or rows with people's answers
CORPUS, LABELLED = "corpus", "labelled"  # where texts come from
GIVEN = "given"  # in place of a stage: a model from elsewhere that an admin registered
ALIGNMENT = ("dpo", "kto", "rloo", "grpo", "ppo")  # ways to the same end: a chain holds one of them


@dataclass(frozen=True)
class StageRule:
    """One stage.

    Attributes:
        makes: the kind of model; empty for none.
        reads: texts or rows.
        after: stages whose model it starts from when none is named: the first of them that has made one.
        takes: kinds of model that may be named for it to start from.
        given: the kind that GIVEN stands for in `after`.
        reward: whether it needs a reward model.
        missing: what to say, and what to do, when there is nothing to start from.
    """

    makes: str = ""
    reads: str = ROWS
    after: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    given: str = ""
    reward: bool = False
    missing: str = ""


_FROM_SFT = "{} starts from an SFT policy. Run SFT first, or with it, or name a policy to start from."
_ENCODES = "{} needs an encoder or at least a tokenizer. Run the tokenizer stage first, or with it."


def _aligns(name: str, reward: bool) -> StageRule:
    return StageRule(POLICY, after=("sft",), takes=(POLICY,), reward=reward, missing=_FROM_SFT.format(name))


STAGES: dict[str, StageRule] = {
    "tokenizer": StageRule(TOKENIZER, TEXTS),
    "pretrain": StageRule(
        POLICY,
        TEXTS,
        ("tokenizer", GIVEN),
        (TOKENIZER, POLICY),
        TOKENIZER,
        missing="Pretraining needs a tokenizer. Run the tokenizer stage first, or with it.",
    ),
    "mlm": StageRule(
        ENCODER,
        TEXTS,
        ("tokenizer", GIVEN),
        (TOKENIZER, ENCODER),
        TOKENIZER,
        missing="Masked pretraining needs a tokenizer. Run the tokenizer stage first, or with it.",
    ),
    "classify": StageRule(
        CLASSIFIER,
        ROWS,
        ("mlm", GIVEN, "tokenizer"),
        (ENCODER, TOKENIZER),
        ENCODER,
        missing=_ENCODES.format("A classifier"),
    ),
    "tag": StageRule(
        TAGGER, ROWS, ("mlm", GIVEN, "tokenizer"), (ENCODER, TOKENIZER), ENCODER, missing=_ENCODES.format("A tagger")
    ),
    "sft": StageRule(
        POLICY,
        ROWS,
        ("pretrain", GIVEN),
        (POLICY,),
        POLICY,
        missing="SFT needs a base model. Run tokenizer and pretraining first, or give one.",
    ),
    "reward": StageRule(REWARD, ROWS, ("sft",), (POLICY,), missing=_FROM_SFT.format("The reward model")),
    "dpo": _aligns("DPO", reward=False),
    "kto": _aligns("KTO", reward=False),
    "rloo": _aligns("RLOO", reward=True),
    "grpo": _aligns("GRPO", reward=True),
    "ppo": _aligns("PPO", reward=True),
    "evaluate": StageRule(
        "",
        ROWS,
        (*ALIGNMENT, "sft"),
        (POLICY,),
        missing="There is no policy to evaluate yet. Run SFT first, or with it.",
    ),
}
ORDER = tuple(STAGES)
ON_TEXTS = frozenset(name for name, rule in STAGES.items() if rule.reads == TEXTS)
KIND_OF_STAGE = {name: rule.makes for name, rule in STAGES.items() if rule.makes}


class WrongStages(ValueError):
    """Stages that cannot be one chain; the text says why."""


def ordered(names: list[str]) -> list[str]:
    """The stages of a chain in the order of the ring.

    Raises:
        WrongStages: none, an unknown one, one twice, or two ways of alignment.
    """
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise WrongStages(f"Unknown stage {unknown[0]!r}; choose from {', '.join(ORDER)}.")
    if not names or len(set(names)) != len(names):
        raise WrongStages("Name at least one stage, and each once.")
    ways = [name for name in ORDER if name in names and name in ALIGNMENT]
    if len(ways) > 1:
        raise WrongStages(
            f"{' and '.join(name.upper() for name in ways)} are ways to the same end; choose one of them for a chain."
        )
    return sorted(names, key=ORDER.index)
