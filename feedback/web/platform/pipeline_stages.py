"""The steps of the pipeline as the home page draws them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StationCard:
    """A step: its title, and where the arrow out of it points on a wide page (right, left, up, down)."""

    key: str
    title: str
    arrow: str


# In the order in which things go round: the loop first, then where the very first model comes from.
STATIONS: tuple[StationCard, ...] = (
    StationCard("prompts", "Prompts", "right"),
    StationCard("responses", "Responses", "right"),
    StationCard("tasks", "Tasks", "right"),
    StationCard("annotations", "Annotations", "right"),
    StationCard("pairs", "Preference pairs", "down"),
    StationCard("sft", "Fine-tuning (SFT)", "left"),
    StationCard("reward", "Reward model", "left"),
    StationCard("ppo", "PPO", "left"),
    StationCard("gate", "Gate", "left"),
    StationCard("serving", "Serving", "up"),
    StationCard("corpus", "Corpus", "right"),
    StationCard("tokenizer", "Tokenizer", "right"),
    StationCard("pretrain", "Pretraining", "up"),
    StationCard("mlm", "Masked pretraining", "right"),
    StationCard("classify", "Guard model", "right"),
    StationCard("tag", "Tagger", "right"),
)
