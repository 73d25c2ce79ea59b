"""The table of stages: one row each, with everything that differs between stages outside their recipes.

A new stage is a recipe in `trainer/recipes`, a config dataclass in `trainer/configs` and a row here. Rows stand in the
order in which a pipeline runs them. `python -m trainer.describe` writes what the service needs of this table.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.configs.encoders import ClassifyConfig, MLMConfig, TagConfig
from trainer.configs.online import GRPOConfig, PPOConfig, RLOOConfig
from trainer.configs.preference import DPOConfig, KTOConfig
from trainer.configs.stages import (
    EvaluateConfig,
    GenerateConfig,
    PretrainConfig,
    RewardConfig,
    ScoreConfig,
    SFTConfig,
    TokenizerConfig,
)

TOKENIZER, POLICY, REWARD, ENCODER, CLASSIFIER, TAGGER = (
    "tokenizer",
    "policy",
    "reward",
    "encoder",
    "classifier",
    "tagger",
)
GIVEN = "given"  # in place of a stage: a model that was registered from elsewhere
ALIGNMENT = "alignment"


@dataclass(frozen=True)
class TrainingStage:
    """One stage.

    Attributes:
        label: what sentences call it, such as "The reward model".
        recipe: "module:function", imported only when the stage runs.
        config: the dataclass of its settings.
        needs, optional: names of inputs in run.json. An input of another name is refused.
        from_either: it needs one of its optional inputs `tokenizer` (from scratch) and `base_model` (continued).
        in_pipeline: whether a pipeline may name it; the others are jobs of the service.
        makes: kind of the model that it makes; empty for none.
        takes: kinds of model that may be named for it to start from.
        after: stages whose model it starts from when none is named; the first that has made one. GIVEN stands for a
            model of the kind `given` from elsewhere.
        alternative: a pipeline holds at most one stage of each such group.
        family: stages of one family report the same figures.
        reads_texts: its snapshot is a corpus, or the plain texts of labeled rows.
        rows: kinds of snapshot rows that it learns from. rows_otherwise: those that stand in where there are none.
        sequences: token sequences in one row.
        learning_rate: usual rate at 10^9 parameters, and the power by which it falls with size; None where nothing is
            trained by gradients. See `trainer.configs.learning_rates`.
        batch_setting: setting with the rows of one backward, or of one forward where nothing is learned.
        batch_changes_speed_only: the rows at once change memory and speed, never the outcome.
        references: frozen copies of the model in memory, not counting the policy without its adapters.
        small_head: its output is a few scores a text or a token, not logits over the vocabulary.
        reports: figures that every run of it reports, so that their plots exist before the first one.
        missing: what to say, and what to do, when there is nothing to start from.
        leads_to_reward: a reward model is made of its model's family, by this stage or by one after it.
    """

    label: str
    recipe: str
    config: type
    needs: frozenset[str]
    optional: frozenset[str] = frozenset()
    from_either: bool = False
    in_pipeline: bool = True
    makes: str = ""
    takes: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    given: str = ""
    alternative: str = ""
    family: str = ""
    reads_texts: bool = False
    rows: tuple[str, ...] = ()
    rows_otherwise: tuple[str, ...] = ()
    sequences: int = 1
    learning_rate: tuple[float, float] | None = None
    batch_setting: str = "batch_size"
    batch_changes_speed_only: bool = False
    references: int = 0
    small_head: bool = False
    reports: tuple[str, ...] = ()
    missing: str = ""
    leads_to_reward: bool = False

    @property
    def inputs(self) -> frozenset[str]:
        return self.needs | self.optional

    @property
    def trains(self) -> bool:
        """Whether weights are trained by gradients; such a stage can also be shared by several processes."""
        return self.learning_rate is not None

    @property
    def samples(self) -> bool:
        """Whether it learns from completions of its own, scored by a reward model."""
        return self.trains and "reward_model" in self.needs

    @property
    def encodes(self) -> bool:
        """Whether its model reads texts in both directions."""
        return self.makes in (ENCODER, CLASSIFIER, TAGGER)

    @property
    def reads_documents(self) -> bool:
        """Whether it reads texts from left to right, as language, and learns of each all but its first token."""
        return self.reads_texts and not self.encodes

    @property
    def answers_by_token(self) -> bool:
        """Whether it learns an answer for each token, so that a long text is read in windows and never cut."""
        return self.makes in (ENCODER, TAGGER)

    @property
    def imitates(self) -> bool:
        """Whether it learns to write what its rows hold; of a row that is too long it learns the beginning."""
        return "demonstration" in self.rows

    @property
    def compares(self) -> bool:
        """Whether it learns which of two responses is preferred."""
        return "preference" in self.rows

    @property
    def learns_completions(self) -> bool:
        """Whether its rows are prompts with completions that people wrote or judged."""
        return bool({"demonstration", "preference", "unpaired"} & set(self.rows))


_SNAPSHOT = frozenset({"snapshot"})
_FROM_BASE = frozenset({"snapshot", "base_model"})
_FROM_REWARD = frozenset({"snapshot", "base_model", "reward_model"})
_EITHER = frozenset({"tokenizer", "base_model"})
_NEEDS_SFT = "{} starts from an SFT policy. Run SFT first or in the same pipeline run, or name a base policy."
_NEEDS_ENCODER = (
    "{} needs an encoder or at least a tokenizer. Run the tokenizer stage first or in the same pipeline run."
)
_ONLINE_FIGURES = ("loss", "score", "kl", "length", "eos_rate")

STAGES: dict[str, TrainingStage] = {
    "tokenizer": TrainingStage(
        label="The tokenizer",
        recipe="trainer.recipes.tokenizer:run",
        config=TokenizerConfig,
        needs=_SNAPSHOT,
        makes=TOKENIZER,
        family="tokenizer",
        reads_texts=True,
        rows=("document", "classification", "spans"),
    ),
    "pretrain": TrainingStage(
        label="Pretraining",
        recipe="trainer.recipes.pretrain:run",
        config=PretrainConfig,
        needs=_SNAPSHOT,
        optional=_EITHER,
        from_either=True,
        makes=POLICY,
        takes=(TOKENIZER, POLICY),
        after=("tokenizer", GIVEN),
        given=TOKENIZER,
        family="pretrain",
        reads_texts=True,
        rows=("document",),
        learning_rate=(2.5e-4, 0.35),  # Brown et al. 2020, table 2.1: 6e-4 at 125 M, 2e-4 at 1.3 B
        reports=("loss", "selection_bits_per_byte"),
        missing="Pretraining needs a tokenizer. Run the tokenizer stage first or in the same pipeline run.",
        leads_to_reward=True,
    ),
    "mlm": TrainingStage(
        label="Masked pretraining",
        recipe="trainer.recipes.mlm:run",
        config=MLMConfig,
        needs=_SNAPSHOT,
        optional=_EITHER,
        from_either=True,
        makes=ENCODER,
        takes=(TOKENIZER, ENCODER),
        after=("tokenizer", GIVEN),
        given=TOKENIZER,
        family="mlm",
        reads_texts=True,
        rows=("document", "classification", "spans"),
        learning_rate=(2.5e-4, 0.35),  # as for pretrain
        reports=("loss", "selection_masked_loss", "selection_masked_accuracy"),
        missing="Masked pretraining needs a tokenizer. Run the tokenizer stage first or in the same pipeline run.",
    ),
    "classify": TrainingStage(
        label="A classifier",
        recipe="trainer.recipes.classify:run",
        config=ClassifyConfig,
        needs=_SNAPSHOT,
        optional=_EITHER,
        from_either=True,
        makes=CLASSIFIER,
        takes=(ENCODER, TOKENIZER),
        after=("mlm", GIVEN, "tokenizer"),
        given=ENCODER,
        family="classify",
        rows=("classification",),
        learning_rate=(2e-5, 0.5),  # Devlin et al. 2019, appendix A.3: 2e-5 to 5e-5 at 110 M; ours: 1e-3 at 0.3 M
        small_head=True,
        reports=("loss", "selection_loss", "selection_accuracy", "selection_macro_f1"),
        missing=_NEEDS_ENCODER.format("A classifier"),
    ),
    "tag": TrainingStage(
        label="A tagger",
        recipe="trainer.recipes.tag:run",
        config=TagConfig,
        needs=_SNAPSHOT,
        optional=_EITHER,
        from_either=True,
        makes=TAGGER,
        takes=(ENCODER, TOKENIZER),
        after=("mlm", GIVEN, "tokenizer"),
        given=ENCODER,
        family="tag",
        rows=("spans",),
        learning_rate=(2e-5, 0.5),  # as for classify; ours: 2e-4 at 33 M
        small_head=True,
        reports=("loss", "selection_loss", "selection_f1"),
        missing=_NEEDS_ENCODER.format("A tagger"),
    ),
    "sft": TrainingStage(
        label="SFT",
        recipe="trainer.recipes.sft:run",
        config=SFTConfig,
        needs=_FROM_BASE,
        makes=POLICY,
        takes=(POLICY,),
        after=("pretrain", GIVEN),
        given=POLICY,
        family="sft",
        rows=("demonstration",),
        learning_rate=(2e-5, 0.5),  # Touvron et al. 2023, section 3.1: 2e-5; ours: 2e-3 at 0.16 M
        reports=("loss", "selection_loss"),
        missing="SFT needs a base model. Run tokenizer and pretraining first, or name one.",
        leads_to_reward=True,
    ),
    "reward": TrainingStage(
        label="The reward model",
        recipe="trainer.recipes.reward:run",
        config=RewardConfig,
        needs=_FROM_BASE,
        makes=REWARD,
        takes=(POLICY,),
        after=("sft",),
        family="reward",
        rows=("preference",),
        sequences=2,
        learning_rate=(2e-5, 0.5),  # Touvron et al. 2023, section 3.2.2: 5e-6 to 1e-5 at 7 B to 70 B; ours: 2e-3
        small_head=True,
        reports=("loss", "selection_loss", "selection_accuracy"),
        missing=_NEEDS_SFT.format("The reward model"),
        leads_to_reward=True,
    ),
    "dpo": TrainingStage(
        label="DPO",
        recipe="trainer.recipes.preference:run",
        config=DPOConfig,
        needs=_FROM_BASE,
        makes=POLICY,
        takes=(POLICY,),
        after=("sft",),
        alternative=ALIGNMENT,
        family="preference",
        rows=("preference",),
        sequences=2,
        learning_rate=(1e-6, 0.5),  # Rafailov et al. 2023, appendix B: 1e-6; ours: 1e-4 at 0.16 M
        references=1,
        reports=("loss", "selection_loss", "selection_accuracy"),
        missing=_NEEDS_SFT.format("DPO"),
    ),
    "kto": TrainingStage(
        label="KTO",
        recipe="trainer.recipes.preference:run",
        config=KTOConfig,
        needs=_FROM_BASE,
        makes=POLICY,
        takes=(POLICY,),
        after=("sft",),
        alternative=ALIGNMENT,
        family="preference",
        rows=("unpaired",),
        rows_otherwise=("preference",),
        learning_rate=(1e-6, 0.5),  # Ethayarajh et al. 2024, section 4.3: 5e-7 to 5e-6
        references=1,
        reports=("loss", "selection_loss"),
        missing=_NEEDS_SFT.format("KTO"),
    ),
    "rloo": TrainingStage(
        label="RLOO",
        recipe="trainer.recipes.online:run",
        config=RLOOConfig,
        needs=_FROM_REWARD,
        optional=frozenset({"guard"}),
        makes=POLICY,
        takes=(POLICY,),
        after=("sft",),
        alternative=ALIGNMENT,
        family="online",
        rows=("prompt",),
        rows_otherwise=("preference", "demonstration"),
        learning_rate=(3e-6, 0.6),  # as for ppo; Ahmadian et al. 2024: 1e-6 at 7 B; ours: 5e-4 at 0.16 M
        references=1,
        reports=_ONLINE_FIGURES,
        missing=_NEEDS_SFT.format("RLOO"),
    ),
    "grpo": TrainingStage(
        label="GRPO",
        recipe="trainer.recipes.online:run",
        config=GRPOConfig,
        needs=_FROM_REWARD,
        optional=frozenset({"guard"}),
        makes=POLICY,
        takes=(POLICY,),
        after=("sft",),
        alternative=ALIGNMENT,
        family="online",
        rows=("prompt",),
        rows_otherwise=("preference", "demonstration"),
        learning_rate=(3e-6, 0.6),  # Shao et al. 2024, section 4.2: 1e-6 at 7 B
        references=1,
        reports=_ONLINE_FIGURES,
        missing=_NEEDS_SFT.format("GRPO"),
    ),
    "ppo": TrainingStage(
        label="PPO",
        recipe="trainer.recipes.ppo:run",
        config=PPOConfig,
        needs=_FROM_REWARD,
        optional=frozenset({"guard"}),
        makes=POLICY,
        takes=(POLICY,),
        after=("sft",),
        alternative=ALIGNMENT,
        family="ppo",
        rows=("prompt",),
        rows_otherwise=("preference", "demonstration"),
        learning_rate=(3e-6, 0.6),  # Huang et al. 2024: 3e-6 at 1 B; ours: 1e-3 at 0.16 M
        batch_setting="micro_batch",
        batch_changes_speed_only=True,
        reports=(
            "score",
            "reward",
            "kl",
            "entropy",
            "length",
            "eos_rate",
            "policy_loss",
            "clip_fraction",
            "approx_kl",
        ),
        missing=_NEEDS_SFT.format("PPO"),
    ),
    "evaluate": TrainingStage(
        label="Evaluation",
        recipe="trainer.recipes.evaluate:run",
        config=EvaluateConfig,
        needs=_SNAPSHOT,
        optional=frozenset(
            {"base_model", "reward_model", "guard", "incumbent", "reference", "pretrained", "texts"},
        ),
        takes=(POLICY,),
        after=("dpo", "kto", "rloo", "grpo", "ppo", "sft"),
        family="evaluate",
        batch_changes_speed_only=True,
        missing="There is no policy to evaluate yet. Run SFT first or in the same pipeline run.",
    ),
    "generate": TrainingStage(
        label="Generation",
        recipe="trainer.recipes.generate:run",
        config=GenerateConfig,
        needs=frozenset({"base_model", "prompts"}),
        optional=frozenset({"reward_model", "guard"}),
        in_pipeline=False,
        batch_changes_speed_only=True,
    ),
    "score": TrainingStage(
        label="Scoring",
        recipe="trainer.recipes.score:run",
        config=ScoreConfig,
        needs=frozenset({"reward_model", "responses"}),
        in_pipeline=False,
    ),
}
