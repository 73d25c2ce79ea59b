"""Findings of a preflight check by name: those that may block a chain, and those of them that a person may override."""

# A person may know better: the run can be carried out, and may be worth it. The label completes "Start although".
OVERRIDABLE: dict[str, str] = {
    "contamination": "evaluation prompts occur in the training data",
    "reward_floor": "the reward model's accuracy is too low",
    "answer_length": "max_new_tokens is shorter than typical responses",
    "learning_rate": "the learning rate is far above the typical value",
    "memory": "memory may be insufficient",
}
BLOCKING = frozenset(OVERRIDABLE) | {
    "unusable",
    "schema",
    "no_rows",
    "chat_template",
    "one_class",
    "learns_nothing",
    "reward_head",
}
