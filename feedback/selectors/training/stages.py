"""The stages of training as pages name and explain them, and the settings of each that a form asks for."""

from collections.abc import Iterable
from dataclasses import dataclass

from feedback.models import Stage
from feedback.rules.training.stages import ORDER

BASE, LABELS, TEACHING, ALIGNING, JUDGING = "base", "labels", "teaching", "aligning", "judging"
GROUPS = {
    BASE: ("Language", "Tokenizer and base model from a corpus."),
    LABELS: ("Guard model and tagger", "Labels train a classifier; spans train a tagger."),
    TEACHING: ("Fine-tuning and reward model", "Supervised fine-tuning and the reward model."),
    ALIGNING: ("Preference optimization", "Select one method or none. PPO is the default."),
    JUDGING: ("Evidence", "Measures the policy on held-out prompts."),
}


@dataclass(frozen=True)
class StageCard:
    """A stage on the ring: its name in a row of stages, its title, what it is, starts from and makes.

    Attributes:
        settings: (key, label, what it does) of the few settings that a form asks for; the rest can be given as JSON.
    """

    stage: Stage
    group: str
    name: str
    title: str
    short: str
    needs: str
    makes: str
    settings: tuple[tuple[str, str, str], ...] = ()


_EPOCHS = ("epochs", "Epochs", "Number of epochs. Too many overfit, which the curves show.")
_RATE = ("learning_rate", "Learning rate", "Step size. Too large diverges, too small is slow.")
_SCHEME = ("scheme", "Label scheme", "Label scheme to learn, if the project has several.")
_BETA = ("beta", "Beta", "Strength of the KL constraint to the SFT policy.")
_SHAPE = (
    ("hidden_size", "Width", "Size of the hidden layers; only for a model from scratch."),
    ("layers", "Layers", "Number of layers; only for a model from scratch."),
)
_ROLLOUTS = (
    ("steps", "Rollouts", "Number of prompts to train on."),
    ("num_generations", "Responses per prompt", "Compared within a group; at least two."),
    ("beta", "KL coefficient", "Weight of the KL penalty to the SFT policy."),
)

_CARDS = (
    StageCard(
        Stage.TOKENIZER,
        BASE,
        "tokenizer",
        "Tokenizer",
        "Learns a byte-level BPE vocabulary.",
        "a corpus, or labeled texts",
        "a tokenizer",
        (("vocab_size", "Vocabulary, tokens", "A larger vocabulary makes sequences shorter and the model larger."),),
    ),
    StageCard(
        Stage.PRETRAIN,
        BASE,
        "pretraining",
        "Pretraining",
        "Trains a base model on next-token prediction.",
        "a corpus, and a tokenizer or a policy to continue from",
        "a base policy",
        (("steps", "Steps", "One batch of text per step."), _RATE, *_SHAPE),
    ),
    StageCard(
        Stage.MLM,
        LABELS,
        "masked pretraining",
        "Masked pretraining",
        "Trains an encoder to predict masked tokens.",
        "a corpus or labeled texts, and a tokenizer or an encoder to continue from",
        "an encoder",
        (
            ("steps", "Steps", "One batch of text per step."),
            _RATE,
            ("mask_share", "Masking rate", "0.15 is typical."),
        ),
    ),
    StageCard(
        Stage.CLASSIFY,
        LABELS,
        "classifier",
        "Text classifier (guard model)",
        "Learns to predict the labels of annotators.",
        "labeled texts, and an encoder (or a tokenizer, from scratch)",
        "a classifier",
        (_EPOCHS, _RATE, _SCHEME),
    ),
    StageCard(
        Stage.TAG,
        LABELS,
        "tagger",
        "Span tagger (pre-annotation)",
        "Learns to predict the spans of annotators.",
        "texts with marked spans, and an encoder (or a tokenizer, from scratch)",
        "a tagger",
        (_EPOCHS, _RATE, _SCHEME),
    ),
    StageCard(
        Stage.SFT,
        TEACHING,
        "SFT",
        "Supervised fine-tuning (SFT)",
        "Trains a base policy on demonstrations.",
        "demonstrations and a base policy",
        "an SFT policy",
        (_EPOCHS, _RATE),
    ),
    StageCard(
        Stage.REWARD,
        TEACHING,
        "reward model",
        "Reward model",
        "Learns to score responses from preference pairs.",
        "preference pairs and the SFT policy",
        "a model that scores responses",
        (
            _EPOCHS,
            _RATE,
            ("margin_scale", "Margin", "Scales the margin by the strength of the preference; 0 turns it off."),
            ("restarts", "Restarts", "Trains with so many seeds and keeps the lowest validation loss."),
        ),
    ),
    StageCard(
        Stage.DPO,
        ALIGNING,
        "DPO",
        "DPO",
        "Direct preference optimization: trains on pairs without a reward model or sampling.",
        "preference pairs and the SFT policy",
        "a candidate policy",
        (_EPOCHS, _RATE, _BETA),
    ),
    StageCard(
        Stage.KTO,
        ALIGNING,
        "KTO",
        "KTO",
        "Kahneman-Tversky optimization: trains on single responses rated good or bad, such as thumbs.",
        "thumbs, ratings or pairs, and the SFT policy",
        "a candidate policy",
        (_EPOCHS, _RATE, _BETA),
    ),
    StageCard(
        Stage.RLOO,
        ALIGNING,
        "RLOO",
        "RLOO",
        "REINFORCE leave-one-out: several responses per prompt, each compared with the mean reward of the others.",
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
        _ROLLOUTS,
    ),
    StageCard(
        Stage.GRPO,
        ALIGNING,
        "GRPO",
        "GRPO",
        "Group relative policy optimization: like RLOO, with advantages normalized by the group's standard deviation.",
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
        _ROLLOUTS,
    ),
    StageCard(
        Stage.PPO,
        ALIGNING,
        "PPO",
        "PPO",
        (
            "Proximal policy optimization: samples responses, scores them with the reward model, and "
            "updates the policy with a KL penalty."
        ),
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
        (
            ("iterations", "Rounds", "One rollout batch per step."),
            ("kl_coef", "KL coefficient", "Weight of the KL penalty to the SFT policy."),
            ("rollout_batch", "Rollout batch size", "A larger batch is more stable and slower."),
        ),
    ),
    StageCard(
        Stage.EVALUATE,
        JUDGING,
        "evaluation",
        "Evaluation",
        "Compares the policy with the serving model on held-out prompts.",
        "a candidate and test prompts",
        "an evaluation report",
        (
            ("responses", "Responses per prompt", "More responses narrow the interval."),
            ("best_of", "Best of", "Number of samples from which the reward model selects the best; 1 turns it off."),
        ),
    ),
)
_CARD_OF = {card.stage.value: card for card in _CARDS}
STAGES = tuple(_CARD_OF[name] for name in ORDER)  # every stage of a pipeline has a card
NAMES = {card.stage.value: card.name for card in STAGES}
TITLES = {card.stage.value: card.title for card in STAGES}


def names_of(stages: Iterable[str]) -> str:
    """Stages in a row of words, such as "SFT, reward model"."""
    return ", ".join(NAMES[stage] for stage in stages)
