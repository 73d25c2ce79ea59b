"""What a run's figures are called, their units, and what they mean.

The names are those that the trainer writes to `progress.jsonl`. An unknown one is shown too, under its own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feedback.rules.training.stages import family_of


@dataclass(frozen=True)
class Figure:
    """One measured quantity: how it is called, its unit (empty for a pure number) and a sentence on it."""

    label: str
    unit: str = ""
    meaning: str = ""
    share: bool = False


FIGURES: dict[str, Figure] = {
    "score": Figure("Reward", "sd", "The reward model's opinion of what was just written, in standard deviations."),
    "reward": Figure("Reward less KL penalty", "sd", "What PPO maximises: the reward less the price of moving away."),
    "reward_model": Figure(
        "Reward model's part", "sd", "What the reward model gives to the reward: weight times value."
    ),
    "reward_guard": Figure("Guard's part", "sd", "What the guard's certainty of its class gives to the reward."),
    "reward_length": Figure("Length's part", "sd", "What tokens beyond the target take from the reward."),
    "reward_format": Figure("Format's part", "sd", "What answers of the asked form give to the reward."),
    "reward_spread": Figure("Disagreement of heads", "sd", "Standard deviation over the heads of the reward model."),
    "reward_floor": Figure("Least pleased head", "sd", "The reward of the head that likes the answers least."),
    "kl_coef": Figure("KL weight", "", "The price of moving away; steered where a target is set."),
    "explained_variance": Figure(
        "Explained by the critic", "", "Share of what came that the critic foresaw; below 0 is worse than no critic."
    ),
    "kl": Figure("KL to the reference", "nats", "How far the policy has moved from its start, per completion."),
    "kl_per_token": Figure("KL per token", "nats", "The same distance divided by the completion's length."),
    "approx_kl": Figure("KL of one update", "nats", "How far a single round of updates moved the policy."),
    "loss": Figure("Loss on train", "nats", "How surprised the model is by what it is taught; lower is better."),
    "selection_loss": Figure("Loss on selection", "nats", "The same on prompts kept out of training."),
    "selection_bits_per_byte": Figure("Bits per byte on selection", "bits", "Surprise per byte of held-out text."),
    "bits_per_byte": Figure("Bits per byte", "bits", "Surprise per byte of held-out text; lower is better."),
    "policy_loss": Figure("Policy loss", "", "The clipped objective, negated. Its size says little by itself."),
    "value_loss": Figure("Value loss", "", "How wrong the critic is about the reward to come."),
    "entropy": Figure("Entropy", "nats", "How undecided the policy is per token. A collapse to 0 repeats itself."),
    "length": Figure("Completion length", "tokens", "Mean length of what was just written."),
    "score_deviation": Figure(
        "Spread of rewards",
        "sd",
        "Standard deviation of the rewards in a rollout; where it is zero nothing is learned.",
    ),
    "rollout_eos_rate": Figure("EOS rate of a rollout", "", "Sampled completions that end by themselves.", share=True),
    "flat_groups": Figure(
        "Prompts without variance",
        "",
        "Prompts whose completions all get the same reward: they teach nothing.",
        share=True,
    ),
    "eos_rate": Figure("Completions that end by themselves", "", "Share that stops before the limit.", True),
    "accuracy": Figure("Accuracy on train", "", "Share that it gets right.", True),
    "selection_accuracy": Figure("Accuracy on selection", "", "The same on what was kept out of training.", True),
    "test_accuracy": Figure("Accuracy on test", "", "The same on prompts that nothing was chosen by.", True),
    "selection_ece": Figure("Calibration error", "", "How far stated probabilities are from what happens.", True),
    "selection_score": Figure(
        "Reward on selection", "sd", "The reward model's opinion on prompts kept out of training."
    ),
    "selection_reward": Figure("Reward less KL penalty on selection", "sd"),
    "selection_reward_model": Figure("Reward model's part on selection", "sd"),
    "selection_reward_guard": Figure("Guard's part on selection", "sd"),
    "selection_reward_length": Figure("Length's part on selection", "sd"),
    "selection_reward_format": Figure("Format's part on selection", "sd"),
    "selection_reward_spread": Figure("Disagreement of heads on selection", "sd"),
    "selection_reward_floor": Figure("Least pleased head on selection", "sd"),
    "selection_kl": Figure("KL on selection", "nats", "Distance from the start on prompts kept out of training."),
    "selection_entropy": Figure("Entropy on selection", "nats"),
    "selection_length": Figure("Length on selection", "tokens"),
    "selection_eos_rate": Figure("Completions on selection that end by themselves", "", "", True),
    "selection_repetition": Figure("Repetition on selection", "", "Share of 4-grams that stood earlier.", True),
    "selection_masked_loss": Figure(
        "Loss on hidden words, selection", "nats", "Surprise at words that were hidden in texts kept out of training."
    ),
    "selection_masked_accuracy": Figure("Hidden words guessed", "", "Share of hidden words that it fills in.", True),
    "selection_macro_f1": Figure("Macro F1 on selection", "", "Mean over classes of F1, each class alike.", True),
    "selection_micro_f1": Figure("Micro F1 on selection", "", "F1 of all labels together.", True),
    "test_macro_f1": Figure("Macro F1 on test", "", "Mean over classes of F1, on texts nothing was chosen by.", True),
    "test_micro_f1": Figure("Micro F1 on test", "", "F1 of all labels together.", True),
    "test_loss": Figure("Loss on test", "nats", "Surprise at what people said of texts that nothing was chosen by."),
    "test_ece": Figure(
        "Calibration error on test", "", "How far stated probabilities are from what people said.", True
    ),
    "selection_f1": Figure("F1 of spans on selection", "", "Spans with start, end and label exactly as marked.", True),
    "selection_precision": Figure("Precision of spans", "", "Share of its marks that people made too.", True),
    "selection_recall": Figure("Recall of spans", "", "Share of people's marks that it made too.", True),
    "selection_exact_texts": Figure("Texts marked exactly", "", "Share of texts with just people's marks.", True),
    "test_f1": Figure("F1 of spans on test", "", "Spans exactly as marked, on texts nothing was chosen by.", True),
    "test_precision": Figure("Precision of spans on test", "", "Share of its marks that people made too.", True),
    "test_recall": Figure("Recall of spans on test", "", "Share of people's marks that it made too.", True),
    "test_exact_texts": Figure("Texts marked exactly, test", "", "Share of texts with just people's marks.", True),
    "macro_f1": Figure("Macro F1", "", "Mean over classes of F1, each class alike.", True),
    "micro_f1": Figure("Micro F1", "", "F1 of all labels together.", True),
    "f1": Figure("F1 of spans", "", "Spans with start, end and label exactly as marked.", True),
    "rarest_class_texts": Figure("Texts of the rarest class", "", "Below 8 little can be learned of it."),
    "classes": Figure("Classes"),
    "train_texts": Figure("Texts trained on"),
    "selection_texts": Figure("Texts of selection"),
    "test_texts": Figure("Texts of test"),
    "cut_texts": Figure("Texts cut", "", "Longer than the model reads at once."),
    "temperature": Figure("Temperature fitted", "", "What makes its probabilities honest; 1 changes nothing."),
    "spans_that_tokens_can_say": Figure(
        "Spans that tokens can say", "", "Share of marks whose ends fall on its tokens: the ceiling.", True
    ),
    "selection_log_ratio": Figure(
        "Log ratio of preferred answers", "nats", "How much likelier they became than at the start; far below 0 is bad."
    ),
    "selection_cost": Figure("Cost on selection", "sd", "KL weight times KL, less the reward; lower is better."),
    "win_rate": Figure("Win rate", "", "Share of prompts on which the candidate is preferred.", True),
    "reward_model_win_rate": Figure(
        "Preferred by the reward model", "", "No evidence: a policy is trained to please it.", True
    ),
    "length_controlled_win_rate": Figure(
        "Preferred by the reward model, equal lengths", "", "What length does not explain; no evidence either.", True
    ),
    "reward_model_win_rate_over_reference": Figure(
        "Preferred by the reward model to its beginning", "", "Beside the policy that alignment began as.", True
    ),
    "contaminated_prompts": Figure("Prompts met in training", "", "Held-out prompts in texts that it was trained on."),
    "clip_fraction": Figure("Updates clipped", "", "Share of tokens whose update was held back.", True),
    "grad_norm": Figure("Gradient norm", "", "Length of the update's direction before clipping."),
    "value_grad_norm": Figure("Gradient norm of the critic", ""),
    "learning_rate": Figure("Learning rate", ""),
    "seconds": Figure("Time per step", "s"),
    "sampling_seconds": Figure("Time spent sampling", "s"),
    "parameters": Figure("Parameters"),
    "steps": Figure("Steps"),
    "best_step": Figure("Best step", "", "The step whose weights were kept."),
    "train_pairs": Figure("Pairs trained on"),
    "train_demonstrations": Figure("Demonstrations trained on"),
    "train_documents": Figure("Documents trained on"),
    "train_tokens": Figure("Tokens trained on"),
    "left_out": Figure("Rows left out", "", "Too long for the model."),
    "vocab_size": Figure("Vocabulary", "tokens"),
    "bytes_per_token": Figure("Bytes per token", "bytes", "How much text one token holds; higher is cheaper."),
    "epochs": Figure("Passes over the data"),
}

# In the report of an evaluation the same words mean what was measured on held-out prompts.
EVALUATED: dict[str, Figure] = {
    "accuracy": Figure("Accuracy", "", "Share of held-out pairs in which the chosen response got more reward.", True),
    "loss": Figure("Loss", "nats", "Surprise at what people chose; 0.69 is a coin."),
    "reward": Figure("Reward", "sd", "The reward model's opinion of the completions."),
    "calibration_error": Figure("Calibration error", "", "How far stated chances are from what people chose.", True),
    "repetition": Figure("Repetition", "", "Share of 4-grams that stood earlier in the same completion.", True),
    "distinct": Figure("Different completions", "", "Share of different ones among all.", True),
    "prefers_longer": Figure("Prefers the longer", "", "How often the reward model does.", True),
    "people_prefer_longer": Figure("People prefer the longer", "", "How often people did.", True),
    "accuracy_by_strength": Figure("Accuracy by strength"),
    "pairs_by_strength": Figure("Pairs by strength"),
}

# Where a family of stages uses a name for something else than preference training does.
_PREFERENCE = {
    "accuracy": Figure("Accuracy on train", "", "Share of pairs in which the chosen response got more reward.", True),
    "selection_accuracy": Figure("Accuracy on selection", "", "The same on pairs kept out of training.", True),
    "test_accuracy": Figure("Accuracy on test", "", "The same on prompts that nothing was chosen by.", True),
}
OF_FAMILY: dict[str, dict[str, Figure]] = {
    "reward": _PREFERENCE,
    "preference": _PREFERENCE,
    "classify": {
        "accuracy": Figure("Accuracy on train", "", "Share of texts whose labels are exactly people's.", True),
        "selection_accuracy": Figure("Accuracy on selection", "", "The same on texts that were not trained on.", True),
        "test_accuracy": Figure("Accuracy on test", "", "The same on texts that nothing was chosen by.", True),
    },
    "tag": {
        "accuracy": Figure("Token accuracy on train", "", "Share of tokens with the right label.", True),
        "selection_accuracy": Figure(
            "Token accuracy on selection", "", "The same on texts kept out of training.", True
        ),
        "test_accuracy": Figure("Token accuracy on test", "", "The same on test texts.", True),
    },
}


def evaluated(name: str, figures: Mapping[str, Any]) -> Figure:
    """A figure among those reported of one model in an evaluation. `figures` says which model KL is measured from."""
    if name == "kl" and figures.get("kl_to") == "incumbent":
        return Figure("KL to what served", "nats", "Distance from the version that served, per completion.")
    return EVALUATED.get(name) or figure(name)


def figure(name: str, stage: str = "") -> Figure:
    """What is known of a figure of that stage; an unknown one is called by its own name."""
    known = OF_FAMILY.get(family_of(stage), {}).get(name) or FIGURES.get(name)
    return known or Figure(name.replace("_", " ").replace("/", ": ").capitalize())
