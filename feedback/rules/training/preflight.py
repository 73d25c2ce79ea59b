"""Findings of a preflight check by name: those that may block a chain, and those of them that a person may override."""

# A person may know better: the run can be carried out, and may be worth it. The label completes "Start although".
OVERRIDABLE: dict[str, str] = {
    "contamination": "evaluation prompts are also trained on",
    "reward_floor": "the reward model agrees too seldom with people",
    "answer_length": "responses as long as people's do not fit",
    "learning_rate": "the learning rate is far above the usual one",
    "memory": "the memory may not suffice",
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
