"""The stages of training as pages name and explain them, and the settings of each that a form asks for."""

from dataclasses import dataclass

from feedback.models import Stage

BASE, LABELS, TEACHING, ALIGNING, JUDGING = "base", "labels", "teaching", "aligning", "judging"
GROUPS = {
    BASE: ("Language", "Where the first model comes from: texts."),
    LABELS: ("Guard and marker", "What people labelled and marked becomes a classifier and a tagger."),
    TEACHING: ("What a good answer is", "People's demonstrations are imitated, their choices learned."),
    ALIGNING: ("Doing more of it", "Five ways to the same end: one of them, or none. PPO is the usual one here."),
    JUDGING: ("Evidence", "Is it better? Measured on prompts that nothing was trained on."),
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


_EPOCHS = ("epochs", "Passes over the data", "More learn longer; too many learn by heart, which the curves show.")
_RATE = ("learning_rate", "Learning rate", "Size of a step. Too large diverges, too small crawls.")
_SCHEME = ("scheme", "Label scheme", "Which scheme to learn, where the project has several.")
_BETA = ("beta", "Beta", "How strongly the policy is held near where it starts.")
_SHAPE = (
    ("hidden_size", "Width", "Numbers that stand for a token; only for a model from scratch."),
    ("layers", "Layers", "Depth; only for a model from scratch."),
)
_ROLLOUTS = (
    ("steps", "Rollouts", "Each is answered, judged, and learned from once."),
    ("num_generations", "Answers to each prompt", "They are judged against one another; at least two."),
    ("beta", "KL weight", "The price of moving away from the SFT policy."),
)

STAGES: tuple[StageCard, ...] = (
    StageCard(
        Stage.TOKENIZER,
        BASE,
        "tokenizer",
        "Tokenizer",
        "Learns which pieces text falls into.",
        "a corpus, or labelled texts",
        "a tokenizer",
        (("vocab_size", "Vocabulary, tokens", "More pieces make text shorter and the model larger."),),
    ),
    StageCard(
        Stage.PRETRAIN,
        BASE,
        "pretraining",
        "Pretraining",
        "Learns the language by guessing the next token of the corpus, as one learns by reading.",
        "a corpus, and a tokenizer or a policy to go on from",
        "a base policy",
        (("steps", "Steps", "Each reads one batch of text."), _RATE, *_SHAPE),
    ),
    StageCard(
        Stage.MLM,
        LABELS,
        "masked pretraining",
        "Masked pretraining",
        "Learns the language by filling in words that were hidden, as in a cloze test.",
        "a corpus or labelled texts, and a tokenizer or an encoder to go on from",
        "an encoder",
        (
            ("steps", "Steps", "Each reads one batch of text."),
            _RATE,
            ("mask_share", "Share of words hidden", "0.15 is usual: enough to learn from, enough left to guess by."),
        ),
    ),
    StageCard(
        Stage.CLASSIFY,
        LABELS,
        "classifier",
        "Text classifier (guard)",
        "Learns to give a text the label that people give, as a sorter learns the shelves.",
        "labelled texts, and an encoder (or a tokenizer, from scratch)",
        "a classifier",
        (_EPOCHS, _RATE, _SCHEME),
    ),
    StageCard(
        Stage.TAG,
        LABELS,
        "tagger",
        "Span tagger (marker)",
        "Learns to mark the stretches that people mark, as a reader learns to underline.",
        "texts with marked spans, and an encoder (or a tokenizer, from scratch)",
        "a tagger",
        (_EPOCHS, _RATE, _SCHEME),
    ),
    StageCard(
        Stage.SFT,
        TEACHING,
        "SFT",
        "Fine-tuning (SFT)",
        "Imitates demonstrations, as an apprentice watches.",
        "demonstrations and a base policy",
        "a policy that answers",
        (_EPOCHS, _RATE),
    ),
    StageCard(
        Stage.REWARD,
        TEACHING,
        "reward model",
        "Reward model",
        "Learns what people prefer from their comparisons, as a taster learns a palate.",
        "preference pairs and the SFT policy",
        "a model that scores responses",
        (_EPOCHS, _RATE, ("margin_scale", "Margin", "Asks for more distance where people were surer; 0 is off.")),
    ),
    StageCard(
        Stage.DPO,
        ALIGNING,
        "DPO",
        "DPO",
        "Raises what was preferred and lowers what was not, straight from the pairs; no reward model, no sampling.",
        "preference pairs and the SFT policy",
        "a candidate policy",
        (_EPOCHS, _RATE, _BETA),
    ),
    StageCard(
        Stage.KTO,
        ALIGNING,
        "KTO",
        "KTO",
        "Learns from single responses that were found good or bad, such as thumbs.",
        "thumbs, ratings or pairs, and the SFT policy",
        "a candidate policy",
        (_EPOCHS, _RATE, _BETA),
    ),
    StageCard(
        Stage.RLOO,
        ALIGNING,
        "RLOO",
        "RLOO",
        "Answers each prompt several times and does more of what beat its siblings.",
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
        _ROLLOUTS,
    ),
    StageCard(
        Stage.GRPO,
        ALIGNING,
        "GRPO",
        "GRPO",
        "As RLOO, with each answer's lead measured in the spread of its siblings.",
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
        _ROLLOUTS,
    ),
    StageCard(
        Stage.PPO,
        ALIGNING,
        "PPO",
        "PPO",
        "Practises: writes, is scored by the reward model, and does more of what scored well, not straying far.",
        "prompts, the SFT policy and a reward model",
        "a candidate policy",
        (
            ("iterations", "Rounds", "Each writes one batch of answers and learns from it."),
            ("kl_coef", "KL weight", "The price of moving away from the SFT policy."),
            ("rollout_batch", "Answers in a round", "More are steadier and slower."),
        ),
    ),
    StageCard(
        Stage.EVALUATE,
        JUDGING,
        "evaluation",
        "Evaluation",
        "Answers prompts it never saw and is compared with what serves now.",
        "a candidate and test prompts",
        "the evidence for promotion",
        (
            ("responses", "Answers to each prompt", "More narrow the interval."),
            ("best_of", "Best of", "Each answer is the best of so many by the reward model; 1 is off."),
        ),
    ),
)
NAMES = {card.stage.value: card.name for card in STAGES}
