"""Supervised fine-tuning: from continuing texts to responding."""

from feedback.rules.platform.learn.stage import LearnStage, Question

FINE_TUNING = LearnStage(
    key="fine-tuning",
    name="Fine-tuning",
    title="How does a model learn to respond?",
    lead="Send one prompt to the model before and after fine-tuning, and compare what they write.",
    basic=(
        "After pretraining a model continues texts. Asked a question, it may write three more questions.",
        "In fine-tuning it is shown prompts with good responses that people wrote, called demonstrations. It learns "
        "to imitate them, with the same method as before: guess the next token.",
        "Some hundred demonstrations change the manner of a model much. They cannot teach everything: it imitates "
        "what is there, and nobody has told it which of two good responses is better.",
    ),
    medium=(
        "Supervised fine-tuning (SFT) continues training on pairs of prompt and response. A chat template writes the "
        "conversation as one text with marks for each speaker.",
        "Only the tokens of the response count in the loss. The model is not trained to write the user's part.",
        "The result has two uses. It is the first policy that can serve, and it is the reference model from which "
        "PPO must not stray too far.",
    ),
    detailed=(
        "The loss is cross-entropy on completion tokens, including the end token, so that responses end. Prompt and "
        "completion are tokenized apart, so that the border is the same in training, scoring and serving.",
        "A lower learning rate than in pretraining and few epochs avoid overfitting: demonstrations are few. The "
        "weights with the lowest validation loss are kept. LoRA trains low-rank additions instead of all weights.",
        "SFT raises the probability of demonstrations and learns nothing from bad responses. Preference training "
        "adds that: it compares samples of the model itself, good and bad.",
    ),
    everyday="A trainee copies out the best letters of the archive.",
    terms=("sft", "demonstration", "policy", "reference_model", "loss", "overfitting"),
    stations=("sft",),
    quiz=(
        Question(
            "What does the model learn from in fine-tuning?",
            ("Pairs of a better and a worse response", "Prompts with responses to imitate", "Any texts"),
            1,
            "Demonstrations are responses that people wrote or accepted. Pairs come in the next stage.",
        ),
        Question(
            "Which tokens count in the loss of SFT?",
            ("Those of the response", "Those of the prompt", "All of them"),
            0,
            "The model should learn to respond, not to write what users write.",
        ),
        Question(
            "Why does the end token count, too?",
            ("It is the longest token", "So that the model learns to stop", "It does not count"),
            1,
            "A model that never ends writes until it is cut off.",
        ),
        Question(
            "What can SFT not learn?",
            ("Which of two acceptable responses people prefer", "How a response begins", "How long responses are"),
            0,
            "It sees single responses. Preferences need comparisons.",
        ),
        Question(
            "What is the fine-tuned model used for in PPO?",
            (
                "For nothing",
                "As the starting point, and as the reference of the KL penalty",
                "To label comparisons",
            ),
            1,
            "PPO starts from it, and KL measures how far the policy has moved from it.",
        ),
    ),
)
