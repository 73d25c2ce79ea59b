"""What a run's figures are called, their units, and what they mean.

The names are those that the trainer writes to `progress.jsonl`. An unknown one is shown too, under its own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from feedback.rules.training.stages import family_of


@dataclass(frozen=True)
class Figure:
    """One measured quantity: how it is called, its unit (empty for a pure number) and a sentence on it."""

    label: str
    unit: str = ""
    meaning: str = ""
    share: bool = False


FIGURES: dict[str, Figure] = {
    "score": Figure("Reward", "sd", "Mean reward of the sampled responses, in standard deviations."),
    "reward": Figure("Reward minus KL penalty", "sd", "Objective of PPO: reward minus KL penalty."),
    "reward_model": Figure("Reward model term", "sd", "Contribution of the reward model: weight times value."),
    "reward_guard": Figure("Guard model term", "sd", "Contribution of the guard model's class probability."),
    "reward_length": Figure("Length term", "sd", "Penalty for tokens beyond the target length."),
    "reward_format": Figure("Format term", "sd", "Reward for responses in the required format."),
    "reward_spread": Figure("Ensemble disagreement", "sd", "Standard deviation over the heads of the reward model."),
    "reward_floor": Figure("Lowest head reward", "sd", "Reward of the head with the lowest score."),
    "kl_coef": Figure("KL coefficient", "", "Weight of the KL penalty; adapted if a target is set."),
    "explained_variance": Figure(
        "Explained variance",
        "",
        "Share of the variance of returns that the critic predicts; below 0 is worse than a constant.",
    ),
    "kl": Figure("KL to the reference", "nats", "KL divergence from the reference model, per completion."),
    "kl_budget": Figure("KL budget", "nats", "KL divergence per completion beyond which the run stops; 0 is none."),
    "kl_per_token": Figure("KL per token", "nats", "KL divergence from the reference model, per token."),
    "approx_kl": Figure("Approximate KL", "nats", "Approximate KL of one round of updates."),
    "loss": Figure("Training loss", "nats", "Cross-entropy on the training data; lower is better."),
    "selection_loss": Figure("Validation loss", "nats", "On held-out prompts."),
    "selection_bits_per_byte": Figure("Bits per byte, validation", "bits", "Loss per byte of held-out text."),
    "bits_per_byte": Figure("Bits per byte", "bits", "Loss per byte of held-out text; lower is better."),
    "policy_loss": Figure("Policy loss", "", "Negated clipped objective. Its magnitude has little meaning."),
    "value_loss": Figure("Value loss", "", "Error of the critic's return predictions."),
    "entropy": Figure("Entropy", "nats", "Uncertainty of the policy per token. Near 0 the responses collapse."),
    "length": Figure("Response length", "tokens", "Mean length of the sampled responses."),
    "score_deviation": Figure(
        "Reward standard deviation",
        "sd",
        "Standard deviation of the rewards in a rollout; at zero, nothing is learned.",
    ),
    "rollout_eos_rate": Figure("Rollout EOS rate", "", "Share of sampled completions that end with EOS.", share=True),
    "flat_groups": Figure(
        "Prompts without reward variance",
        "",
        "Prompts whose completions all get the same reward; they give no signal.",
        share=True,
    ),
    "eos_rate": Figure("EOS rate", "", "Share of completions that end before the length limit.", True),
    "accuracy": Figure("Training accuracy", "", "Share of correct predictions.", True),
    "selection_accuracy": Figure("Validation accuracy", "", "On held-out data.", True),
    "test_accuracy": Figure("Test accuracy", "", "On test prompts.", True),
    "selection_ece": Figure(
        "Calibration error", "", "Difference between predicted probabilities and observed frequencies.", True
    ),
    "selection_score": Figure("Validation reward", "sd", "Mean reward on held-out prompts."),
    "selection_reward": Figure("Validation reward minus KL penalty", "sd"),
    "selection_reward_model": Figure("Reward model term, validation", "sd"),
    "selection_reward_guard": Figure("Guard model term, validation", "sd"),
    "selection_reward_length": Figure("Length term, validation", "sd"),
    "selection_reward_format": Figure("Format term, validation", "sd"),
    "selection_reward_spread": Figure("Ensemble disagreement, validation", "sd"),
    "selection_reward_floor": Figure("Lowest head reward, validation", "sd"),
    "selection_kl": Figure("Validation KL", "nats", "KL divergence from the reference model on held-out prompts."),
    "selection_entropy": Figure("Validation entropy", "nats"),
    "selection_length": Figure("Validation length", "tokens"),
    "selection_eos_rate": Figure("EOS rate, validation", "", "", True),
    "selection_repetition": Figure(
        "Validation repetition", "", "Share of 4-grams that occurred earlier in the same completion.", True
    ),
    "selection_masked_loss": Figure(
        "Masked-token loss, validation", "nats", "Loss at masked tokens of held-out texts."
    ),
    "selection_masked_accuracy": Figure(
        "Masked-token accuracy", "", "Share of masked tokens predicted correctly.", True
    ),
    "selection_macro_f1": Figure("Validation macro F1", "", "Unweighted mean of F1 over classes.", True),
    "selection_micro_f1": Figure("Validation micro F1", "", "F1 over all labels.", True),
    "test_macro_f1": Figure("Test macro F1", "", "Unweighted mean of F1 over classes, on test texts.", True),
    "test_micro_f1": Figure("Test micro F1", "", "F1 over all labels.", True),
    "test_loss": Figure("Test loss", "nats", "Cross-entropy of the labels on test texts."),
    "test_ece": Figure(
        "Test calibration error", "", "Difference between predicted probabilities and label frequencies.", True
    ),
    "selection_f1": Figure("Validation span F1", "", "Spans with matching start, end and label.", True),
    "selection_precision": Figure("Span precision", "", "Share of predicted spans that annotators marked.", True),
    "selection_recall": Figure("Span recall", "", "Share of annotated spans that were predicted.", True),
    "selection_exact_texts": Figure("Exact match", "", "Share of texts whose spans all match.", True),
    "test_f1": Figure("Test span F1", "", "Spans with matching start, end and label, on test texts.", True),
    "test_precision": Figure("Test span precision", "", "Share of predicted spans that annotators marked.", True),
    "test_recall": Figure("Test span recall", "", "Share of annotated spans that were predicted.", True),
    "test_exact_texts": Figure("Test exact match", "", "Share of texts whose spans all match.", True),
    "macro_f1": Figure("Macro F1", "", "Unweighted mean of F1 over classes.", True),
    "micro_f1": Figure("Micro F1", "", "F1 over all labels.", True),
    "f1": Figure("Span F1", "", "Spans with matching start, end and label.", True),
    "rarest_class_texts": Figure("Texts of the rarest class", "", "Below 8, little can be learned."),
    "classes": Figure("Classes"),
    "train_texts": Figure("Training texts"),
    "selection_texts": Figure("Validation texts"),
    "test_texts": Figure("Test texts"),
    "cut_texts": Figure("Truncated texts", "", "Texts longer than the maximum length."),
    "temperature": Figure(
        "Calibration temperature", "", "Temperature that calibrates the probabilities; 1 changes nothing."
    ),
    "spans_that_tokens_can_say": Figure(
        "Token-aligned spans", "", "Share of spans that align with token boundaries: the upper limit of recall.", True
    ),
    "selection_log_ratio": Figure(
        "Log ratio of chosen responses", "nats", "Log ratio to the reference model; far below 0 is bad."
    ),
    "selection_cost": Figure("Validation cost", "sd", "KL coefficient times KL, minus the reward; lower is better."),
    "win_rate": Figure("Win rate", "", "Share of prompts on which the candidate is preferred.", True),
    "reward_model_win_rate": Figure(
        "Reward model win rate", "", "Not evidence: the policy is optimized against it.", True
    ),
    "length_controlled_win_rate": Figure(
        "Reward model win rate, length-controlled",
        "",
        "With the difference in length regressed out; not evidence.",
        True,
    ),
    "reward_model_win_rate_over_reference": Figure(
        "Reward model win rate over the reference", "", "Against the policy before alignment.", True
    ),
    "contaminated_prompts": Figure("Contaminated prompts", "", "Held-out prompts found in training texts."),
    "clip_fraction": Figure("Clip fraction", "", "Share of tokens whose update was clipped.", True),
    "grad_norm": Figure("Gradient norm", "", "Gradient norm before clipping."),
    "value_grad_norm": Figure("Critic gradient norm", ""),
    "learning_rate": Figure("Learning rate", ""),
    "seconds": Figure("Time per step", "s"),
    "sampling_seconds": Figure("Sampling time", "s"),
    "parameters": Figure("Parameters"),
    "steps": Figure("Steps"),
    "best_step": Figure("Best step", "", "Step of the selected checkpoint."),
    "restarts": Figure("Restarts", "", "Trainings that differ in their seed alone."),
    "best_restart": Figure("Selected restart", "", "The one with the lowest validation loss."),
    "train_pairs": Figure("Training pairs"),
    "doubted_pairs": Figure("Pairs with an error", "", "Training pairs of annotators who err more than the best."),
    "train_demonstrations": Figure("Training demonstrations"),
    "train_documents": Figure("Training documents"),
    "train_tokens": Figure("Training tokens"),
    "left_out": Figure("Excluded rows", "", "Rows longer than the maximum length."),
    "vocab_size": Figure("Vocabulary", "tokens"),
    "bytes_per_token": Figure("Bytes per token", "bytes", "Mean length of a token; higher means fewer tokens."),
    "epochs": Figure("Epochs"),
}

# In the report of an evaluation the same words mean what was measured on held-out prompts.
EVALUATED: dict[str, Figure] = {
    "accuracy": Figure(
        "Accuracy", "", "Share of held-out pairs in which the chosen response gets the higher reward.", True
    ),
    "loss": Figure("Loss", "nats", "Negative log-likelihood of the preferences; 0.69 is chance."),
    "reward": Figure("Reward", "sd", "Mean reward of the completions."),
    "calibration_error": Figure(
        "Calibration error", "", "Difference between predicted probabilities and observed preferences.", True
    ),
    "repetition": Figure("Repetition", "", "Share of 4-grams that occurred earlier in the same completion.", True),
    "distinct": Figure("Distinct completions", "", "Share of distinct completions.", True),
    "prefers_longer": Figure(
        "Prefers longer", "", "Share of pairs in which the reward model prefers the longer response.", True
    ),
    "people_prefer_longer": Figure(
        "Annotators prefer longer", "", "Share of pairs in which annotators prefer the longer response.", True
    ),
    "accuracy_by_strength": Figure("Accuracy by strength"),
    "pairs_by_strength": Figure("Pairs by strength"),
}

# Where a family of stages uses a name for something else than preference training does.
_PREFERENCE = {
    "accuracy": Figure(
        "Training accuracy", "", "Share of pairs in which the chosen response gets the higher reward.", True
    ),
    "selection_accuracy": Figure("Validation accuracy", "", "On held-out pairs.", True),
    "test_accuracy": Figure("Test accuracy", "", "On test prompts.", True),
}
OF_FAMILY: dict[str, dict[str, Figure]] = {
    "reward": _PREFERENCE,
    "preference": _PREFERENCE,
    "classify": {
        "accuracy": Figure("Training accuracy", "", "Share of texts whose labels all match.", True),
        "selection_accuracy": Figure("Validation accuracy", "", "On held-out texts.", True),
        "test_accuracy": Figure("Test accuracy", "", "On test texts.", True),
    },
    "tag": {
        "accuracy": Figure("Training token accuracy", "", "Share of tokens with the right label.", True),
        "selection_accuracy": Figure("Validation token accuracy", "", "On held-out texts.", True),
        "test_accuracy": Figure("Test token accuracy", "", "On test texts.", True),
    },
}


def evaluated(name: str, figures: Mapping[str, object]) -> Figure:
    """A figure among those reported of one model in an evaluation. `figures` says which model KL is measured from."""
    if name == "kl" and figures.get("kl_to") == "incumbent":
        return Figure(
            "KL to the previous version", "nats", "KL divergence from the previously serving version, per completion."
        )
    return EVALUATED.get(name) or figure(name)


def figure(name: str, stage: str = "") -> Figure:
    """What is known of a figure of that stage; an unknown one is called by its own name."""
    known = OF_FAMILY.get(family_of(stage), {}).get(name) or FIGURES.get(name)
    return known or Figure(name.replace("_", " ").replace("/", ": ").capitalize())
