"""Pretraining: next-token prediction."""

from feedback.rules.platform.learn.stage import LearnStage, Question

PRETRAINING = LearnStage(
    key="pretraining",
    name="Pretraining",
    title="How does a model learn to write?",
    lead="Choose the next token from the model's own probabilities, and move the slider back to earlier checkpoints.",
    basic=(
        "A language model does one thing: it guesses how a text goes on. For each possible next token it states a "
        "probability.",
        "In pretraining it reads many texts and guesses each next token. The text itself shows the right answer, so "
        "nobody has to label anything. After each guess the model is corrected a little.",
        "To write, it guesses a token, adds it to the text, and guesses again. It learns grammar and common facts, "
        "but not yet to be helpful.",
    ),
    medium=(
        "The model turns the tokens so far into a score for every token of the vocabulary. The softmax function "
        "turns the scores into probabilities that sum to one.",
        "The loss is the negative logarithm of the probability of the token that really came next. Training changes "
        "the weights in the direction that lowers the loss on a batch of texts, many times over.",
        "The loss on texts that are kept out of training shows what was learned. When it rises while the training "
        "loss still falls, the model begins to memorize: it overfits.",
    ),
    detailed=(
        "A causal transformer reads from left to right: attention sees earlier tokens only, so all positions of a "
        "text are trained in parallel. Documents are packed into sequences of the context length.",
        "The loss is the mean cross-entropy in nats per token. Bits per byte is that loss divided by ln 2 and by the "
        "mean number of bytes of a token. Eight means no knowledge. A compressor such as gzip needs two to three on "
        "English.",
        "AdamW with a warmup and a decaying learning rate is the standard optimizer. Sampling divides the scores by "
        "a temperature before softmax: near 0 the likeliest token always wins, and above 1 the distribution is "
        "flatter.",
    ),
    everyday="Reading a shelf of books with the next word always covered, and guessing it each time.",
    terms=(
        "pretraining",
        "next_token",
        "loss",
        "overfitting",
        "perplexity",
        "bits_per_byte",
        "checkpoint",
        "temperature",
    ),
    stations=("corpus", "pretrain"),
    quiz=(
        Question(
            "Who labels the data for pretraining?",
            ("Annotators", "Nobody: the next token of the text is the answer", "Another model"),
            1,
            "The text supervises itself. That is why pretraining can use very large corpora.",
        ),
        Question(
            "The model gives the token that came next a probability of 1. What is the loss there?",
            ("0", "1", "Infinite"),
            0,
            "The loss is the negative logarithm of the probability, and the logarithm of 1 is 0.",
        ),
        Question(
            "Training loss falls, and loss on held-out texts rises. What happens?",
            ("The model improves", "The model memorizes its training texts", "The tokenizer is wrong"),
            1,
            "That is overfitting: it fits what it has seen, and not what is new.",
        ),
        Question(
            "What does a temperature near 0 do?",
            (
                "The model nearly always takes the likeliest token",
                "The model takes any token with equal probability",
                "The model stops writing",
            ),
            0,
            "Dividing the scores by a small number widens their differences, so the likeliest token wins.",
        ),
        Question(
            "Can a model after pretraining answer questions well?",
            (
                "Always",
                "Not reliably: it continues texts, which need not be helpful",
                "No, it cannot write at all",
            ),
            1,
            "It may continue a question with more questions. Fine-tuning teaches it to respond.",
        ),
    ),
)
