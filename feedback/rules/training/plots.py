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
        return replace(
            self,
            names=tuple(name for name in self.names if name in names),
            right=tuple(name for name in self.right if name in names),
        )


LANGUAGE_LOSS = Plot(
    "loss",
    "Loss",
    "nats",
    "Negative log-likelihood of what is taught, on train and on validation. They part when the model learns by heart.",
    ("loss", "selection_loss", "eval_loss"),
)
LABEL_LOSS = Plot(
    "label-loss",
    "Loss",
    "nats",
    "Negative log-likelihood of people's labels, on train and on validation. They part when it learns by heart.",
    ("loss", "selection_loss"),
)
MASKED_TRAIN_LOSS = Plot("masked-train", "Loss on train", "nats", "At hidden words of the training texts.", ("loss",))
MASKED = Plot(
    "masked",
    "Hidden words",
    "nats",
    "Loss at hidden words of validation texts; on the other scale the share of them guessed.",
    ("selection_masked_loss",),
    ("selection_masked_accuracy",),
)
PREFERENCE_LOSS = Plot(
    "preference-loss",
    "Loss",
    "nats",
    "Negative log-likelihood of people's preferences; 0.69 is a coin. The lines part when it learns by heart.",
    ("loss", "selection_loss", "eval_loss"),
)
PREFERENCE_ACCURACY = Plot(
    "accuracy",
    "Accuracy of preference",
    "share of pairs",
    "How often the chosen response gets the higher reward; 0.5 is chance.",
    ("accuracy", "mean_accuracy", "selection_accuracy", "eval_accuracy"),
)
LABEL_ACCURACY = Plot(
    "label-accuracy",
    "Accuracy of labels",
    "share of texts",
    "How often the labels are exactly those that people gave.",
    ("accuracy", "selection_accuracy"),
)
F1 = Plot(
    "f1",
    "F1",
    "share",
    "How well people's labels are met: 1 is all of them and nothing else. The mean over classes counts each alike.",
    ("selection_macro_f1", "selection_micro_f1"),
)
SPAN_F1 = Plot(
    "span-f1",
    "F1 of spans",
    "share",
    "Spans with start, end and label exactly as people marked them: 1 is all of them and nothing else.",
    ("selection_f1", "selection_precision", "selection_recall"),
)
BITS = Plot(
    "bits", "Bits per byte", "bits", "On held-out text; lower is better.", ("selection_bits_per_byte", "bits_per_byte")
)
REWARD = Plot(
    "reward",
    "Reward beside KL",
    "",
    "Reward that rises while KL stays low is learned; reward that rises only with KL is bought dearly.",
    ("score", "reward", "selection_score"),
    ("kl", "selection_kl"),
)
REWARD_TERMS = tuple(
    Plot(f"reward-{key}", title, "sd", meaning, (f"reward_{key}", f"selection_reward_{key}"))
    for key, title, meaning in (
        ("model", "Term: reward model", "What the reward model gives to the reward: weight times value."),
        ("guard", "Term: guard", "What the guard gives: its weight times its certainty of the class."),
        ("length", "Term: length", "What tokens beyond the target take away."),
        ("format", "Term: format", "What answers of the asked form give."),
        ("spread", "Heads disagree", "How far apart the reward model's heads are; they know least where it rises."),
        ("floor", "Least pleased head", "If it falls while the reward rises, the reward is being gamed."),
    )
)
ENTROPY = Plot(
    "entropy",
    "Entropy",
    "nats per token",
    "How undecided the policy is. Near 0 it repeats itself.",
    ("entropy", "selection_entropy"),
)
LENGTH = Plot(
    "length",
    "Completion length",
    "tokens",
    "Mean length; a reward that likes length shows here.",
    ("length", "selection_length"),
)
ENDS = Plot(
    "eos", "Ends by itself", "share", "Completions that stop before the limit.", ("eos_rate", "selection_eos_rate")
)
ONLINE_LOSS = Plot("online-loss", "Loss", "", "The objective, negated. Its size says little by itself.", ("loss",))
PPO_LOSSES = Plot("critic", "PPO losses", "", "The policy's and the critic's.", ("policy_loss", "value_loss"))
EXPLAINED = Plot(
    "foreseen",
    "Explained by the critic",
    "share",
    "How much of the reward to come the critic foresees: 1 is all, below 0 it misleads.",
    ("explained_variance",),
)
KL_WEIGHT = Plot("weight", "KL weight", "", "The price of moving away; a target steers it.", ("kl_coef",))
CLIPPED = Plot("clip", "Updates clipped", "share of tokens", "Above 0.3 the steps are too large.", ("clip_fraction",))
UPDATE_KL = Plot(
    "update", "KL of one update", "nats per token", "How far one round of updates moved the policy.", ("approx_kl",)
)
GRADIENT = Plot("gradient", "Gradient norm", "", "Before clipping.", ("grad_norm", "value_grad_norm"))
RATE = Plot("rate", "Learning rate", "", "As scheduled.", ("learning_rate",))
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
        for plot in own:
            declared.setdefault(plot.key, plot)
            names_of.setdefault(plot.key, set()).update(there)
        if rule.family in PLOTS_OF_FAMILY and not own:
            continue
        known = {name for plot in own for name in (*plot.names, *plot.right)}
        for name in sorted(there - known):
            about = figure(name, stage)
            key = name.replace("/", "-")
            undeclared.setdefault(key, Plot(key, about.label, about.unit, about.meaning, (name,)))
    drawn = [plot.of(names_of[key]) for key, plot in declared.items()]
    filled = [plot for plot in drawn if plot.names or plot.right]
    return filled + [plot for key, plot in undeclared.items() if key not in declared]
