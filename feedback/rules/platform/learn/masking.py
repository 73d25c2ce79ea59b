"""Masked modeling: an encoder guesses hidden words from both sides."""

from feedback.rules.platform.learn.stage import LearnStage, Question

MASKED_MODELING = LearnStage(
    key="masked-modeling",
    name="Masked modeling",
    title="How does a model learn to read?",
    lead="Hide words of a sentence and let the encoder guess them from the words on both sides.",
    basic=(
        "A model that sorts messages does not need to write. It needs to read well. Such a model is called an encoder.",
        "It learns from a game: some words of a text are hidden, and it guesses them. Unlike a model that writes, it "
        "may look at the words before and after the gap.",
        "Whoever can fill such gaps has learned how words belong together. Sorting messages and finding names build "
        "on that.",
    ),
    medium=(
        "Masked language modeling hides a share of the tokens, usually 15 %. The encoder states a probability for "
        "each token of the vocabulary at each hidden place, and the loss compares that with the hidden token.",
        "Context from both sides makes it a better reader than a left-to-right model of the same size. It cannot "
        "write texts in exchange, since it has never learned to continue one.",
        "The result is a starting point. A classifier or tagger adds a small output layer and trains on far fewer "
        "labels than it would need from nothing.",
    ),
    detailed=(
        "Of the selected tokens, 80 % are replaced with the mask token, 10 % with a random token, and 10 % stay. So "
        "the encoder cannot rely on the mask, which never occurs in real texts. Masks are drawn anew at each visit.",
        "Attention is bidirectional. The loss counts selected tokens only, so each pass over a text teaches less "
        "than next-token prediction does, where every token counts.",
        "Accuracy on masked tokens of held-out texts is reported with masks that never change. Low accuracy on rare "
        "words is expected. What matters is how well a classifier or tagger does that starts from this encoder.",
    ),
    everyday="A cloze test: fill in the missing words of a letter with coffee stains.",
    terms=("encoder", "masked_modeling", "token", "loss", "corpus"),
    stations=("mlm",),
    quiz=(
        Question(
            "What may an encoder look at when it guesses a hidden word?",
            ("Only the words before it", "Only the words after it", "The words on both sides"),
            2,
            "Attention is bidirectional in an encoder. That makes it a good reader, and no writer.",
        ),
        Question(
            "Who provides the right answers for masked modeling?",
            ("Annotators", "The text itself: the hidden words are known", "The guard model"),
            1,
            "As in next-token prediction, no labels are needed.",
        ),
        Question(
            "Why are some selected tokens not replaced with the mask token?",
            (
                "To save time",
                "Because real texts contain no mask token, and the encoder must read real texts",
                "By mistake",
            ),
            1,
            "If every selected token were masked, the encoder could ignore all places without a mask.",
        ),
        Question(
            "What is an encoder used for afterwards?",
            ("To chat", "As the starting point of classifiers and taggers", "To compress files"),
            1,
            "An output layer on top of the encoder learns labels or spans from few examples.",
        ),
        Question(
            "Which share of the tokens is usually hidden?",
            ("15 %", "50 %", "100 %"),
            0,
            "With too many hidden, too little context remains. With too few, each text teaches little.",
        ),
    ),
)
