"""Which figures of a run are drawn on one plot, declared for each family of stages.

A plot belongs to the families that list it: the loss of a classifier is not that of a language model, and its accuracy
is not that of a reward model. A figure that a stage reports and no plot declares gets a plot of its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from feedback.rules.training.run_figures import figure
from feedback.rules.training.stages import STAGES


@dataclass(frozen=True)
class Plot:
    """Figures on one plot: `names` on its left axis, `right` on another scale beside it."""

    key: str
    title: str
    unit: str
    meaning: str
    names: tuple[str, ...]
    right: tuple[str, ...] = ()

    def of(self, names: set[str]) -> "Plot":
        """The same plot with the figures among `names` alone."""
        left = [name for name in self.names if name in names]
        right = [name for name in self.right if name in names]
        return replace(self, names=tuple(left), right=tuple(right))


LANGUAGE_LOSS = Plot(
    "loss",
    "Loss",
    "nats",
    "Cross-entropy on train and validation. The curves diverge when the model overfits.",
    ("loss", "selection_loss", "eval_loss"),
)
LABEL_LOSS = Plot(
    "label-loss",
    "Loss",
    "nats",
    "Cross-entropy of the labels on train and validation. The curves diverge when the model overfits.",
    ("loss", "selection_loss"),
)
MASKED_TRAIN_LOSS = Plot("masked-train", "Training loss", "nats", "At masked tokens of the training texts.", ("loss",))
MASKED = Plot(
    "masked",
    "Masked tokens",
    "nats",
    "Validation loss at masked tokens; second axis: share predicted correctly.",
    ("selection_masked_loss",),
    ("selection_masked_accuracy",),
)
PREFERENCE_LOSS = Plot(
    "preference-loss",
    "Loss",
    "nats",
    "Negative log-likelihood of the preferences; 0.69 is chance. The curves diverge when the model overfits.",
    ("loss", "selection_loss", "eval_loss"),
)
PREFERENCE_ACCURACY = Plot(
    "accuracy",
    "Preference accuracy",
    "share of pairs",
    "Share of pairs in which the chosen response gets the higher reward; 0.5 is chance.",
    ("accuracy", "mean_accuracy", "selection_accuracy", "eval_accuracy"),
)
LABEL_ACCURACY = Plot(
    "label-accuracy",
    "Label accuracy",
    "share of texts",
    "Share of texts whose labels all match.",
    ("accuracy", "selection_accuracy"),
)
F1 = Plot(
    "f1",
    "F1",
    "share",
    "F1 of the labels; 1 is perfect. The macro mean weights all classes equally.",
    ("selection_macro_f1", "selection_micro_f1"),
)
SPAN_F1 = Plot(
    "span-f1",
    "Span F1",
    "share",
    "Spans with matching start, end and label; 1 is perfect.",
    ("selection_f1", "selection_precision", "selection_recall"),
)
BITS = Plot(
    "bits", "Bits per byte", "bits", "On held-out text; lower is better.", ("selection_bits_per_byte", "bits_per_byte")
)
REWARD = Plot(
    "reward",
    "Reward and KL",
    "",
    "A reward that rises at low KL is real progress; a reward that rises only with KL is a sign of reward hacking.",
    ("score", "reward", "selection_score"),
    ("kl", "selection_kl"),
)


def _reward_term(key: str, title: str, meaning: str) -> Plot:
    return Plot(f"reward-{key}", title, "sd", meaning, (f"reward_{key}", f"selection_reward_{key}"))


REWARD_TERMS = (
    _reward_term("model", "Term: reward model", "Contribution of the reward model: weight times value."),
    _reward_term(
        "guard", "Term: guard model", "Contribution of the guard model: weight times probability of the class."
    ),
    _reward_term("length", "Term: length", "Penalty for tokens beyond the target length."),
    _reward_term("format", "Term: format", "Reward for responses in the required format."),
    _reward_term(
        "spread",
        "Ensemble disagreement",
        "Standard deviation between the heads of the reward model; higher means more uncertain.",
    ),
    _reward_term(
        "floor", "Lowest head reward", "If it falls while the reward rises, the policy exploits the reward model."
    ),
)
ENTROPY = Plot(
    "entropy",
    "Entropy",
    "nats per token",
    "Uncertainty of the policy per token. Near 0 the responses collapse.",
    ("entropy", "selection_entropy"),
)
LENGTH = Plot(
    "length",
    "Response length",
    "tokens",
    "Mean length. A length bias of the reward shows here.",
    ("length", "selection_length"),
)
ENDS = Plot(
    "eos", "EOS rate", "share", "Completions that end before the length limit.", ("eos_rate", "selection_eos_rate")
)
ONLINE_LOSS = Plot("online-loss", "Loss", "", "Negated objective. Its magnitude has little meaning.", ("loss",))
PPO_LOSSES = Plot("critic", "PPO losses", "", "Losses of the policy and the critic.", ("policy_loss", "value_loss"))
EXPLAINED = Plot(
    "foreseen",
    "Explained variance",
    "share",
    "Share of the variance of returns that the critic predicts: 1 is perfect, below 0 is worse than a constant.",
    ("explained_variance",),
)
KL_WEIGHT = Plot("weight", "KL coefficient", "", "Weight of the KL penalty; adapted if a target is set.", ("kl_coef",))
CLIPPED = Plot(
    "clip",
    "Clip fraction",
    "share of tokens",
    "Share of tokens whose update was clipped. Above 0.3 the steps are too large.",
    ("clip_fraction",),
)
UPDATE_KL = Plot(
    "update", "Approximate KL", "nats per token", "Approximate KL of one round of updates.", ("approx_kl",)
)
GRADIENT = Plot("gradient", "Gradient norm", "", "Before clipping.", ("grad_norm", "value_grad_norm"))
RATE = Plot("rate", "Learning rate", "", "Learning rate schedule.", ("learning_rate",))
OPTIMIZER = (GRADIENT, RATE)
ONLINE = (REWARD, *REWARD_TERMS, ENTROPY, LENGTH, ENDS)

# In reading order. A family with none measures everything once: its page shows figures, no curves.
PLOTS_OF_FAMILY: Mapping[str, tuple[Plot, ...]] = {
    "tokenizer": (),
    "evaluate": (),
    "pretrain": (LANGUAGE_LOSS, BITS, *OPTIMIZER),
    "mlm": (MASKED, MASKED_TRAIN_LOSS, *OPTIMIZER),
    "classify": (F1, LABEL_LOSS, LABEL_ACCURACY, *OPTIMIZER),
    "tag": (SPAN_F1, LABEL_LOSS, LABEL_ACCURACY, *OPTIMIZER),
    "sft": (LANGUAGE_LOSS, ENDS, LENGTH, *OPTIMIZER),
    "reward": (PREFERENCE_LOSS, PREFERENCE_ACCURACY, *OPTIMIZER),
    "preference": (PREFERENCE_LOSS, PREFERENCE_ACCURACY, ENDS, LENGTH, *OPTIMIZER),
    "online": (*ONLINE, ONLINE_LOSS, KL_WEIGHT, CLIPPED, UPDATE_KL, *OPTIMIZER),
    "ppo": (*ONLINE, PPO_LOSSES, EXPLAINED, KL_WEIGHT, CLIPPED, UPDATE_KL, *OPTIMIZER),
}

UNDRAWN = frozenset(
    {"epoch", "selection_reward", "seconds", "sampling_seconds", "documents", "kl_per_token", "first_ratio_deviation"}
)


def plots(reported: Mapping[str, Iterable[str]]) -> list[Plot]:
    """The plots of runs of several stages, in reading order, each once.

    Args:
        reported: stage → names of the figures that its runs have reported.
    """
    names_of: dict[str, set[str]] = {}
    declared: dict[str, Plot] = {}
    undeclared: dict[str, Plot] = {}
    for stage, names in reported.items():
        rule = STAGES[stage]
        there = {*names, *rule.reports} - UNDRAWN  # plots exist before their first figure arrives
        own = PLOTS_OF_FAMILY.get(rule.family, ())
        known: set[str] = set()
        for plot in own:
            declared.setdefault(plot.key, plot)
            names_of.setdefault(plot.key, set()).update(there)
            known.update(plot.names, plot.right)
        if rule.family in PLOTS_OF_FAMILY and not own:
            continue
        for name in sorted(there - known):
            about = figure(name, stage)
            key = name.replace("/", "-")
            undeclared.setdefault(key, Plot(key, about.label, about.unit, about.meaning, (name,)))
    drawn: list[Plot] = []
    for key, plot in declared.items():
        filled = plot.of(names_of[key])
        if filled.names or filled.right:
            drawn.append(filled)
    return drawn + [plot for key, plot in undeclared.items() if key not in declared]
