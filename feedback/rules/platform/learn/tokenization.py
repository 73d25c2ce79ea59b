"""Tokenization: how text becomes the numbers that a model reads."""

from feedback.rules.platform.learn.stage import LearnStage, Question

TOKENIZATION = LearnStage(
    key="tokenization",
    name="Tokenization",
    title="How does text become tokens?",
    lead="Type a text and compare three ways to split it; move the slider to see how the pieces merge.",
    basic=(
        "A model calculates with numbers, so text is cut into pieces first. Each piece, a token, has a number.",
        "Single letters make very long lists. Whole words make a huge dictionary, and new words are missing from it. "
        "Pieces of words are the compromise: frequent words stay whole, and rare ones are built from parts.",
        "The pieces are learned from text. The computer looks for neighbors that occur together often, and joins them.",
    ),
    medium=(
        "Byte-pair encoding (BPE) starts from single bytes. It counts which two neighbors occur together most often "
        "in the corpus, merges them into a new token, and repeats this until the vocabulary is full.",
        "To encode a text, the same merges are applied in the order in which they were learned. Each token then "
        "becomes its number, called its id.",
        "A larger vocabulary makes texts shorter, which saves computing time, but needs a larger table in the model. "
        "Since every byte is a token, any text can be encoded, emoji included.",
    ),
    detailed=(
        "This tokenizer is byte-level: each of the 256 bytes of UTF-8 is a token, so no text is out of vocabulary. A "
        "regular expression divides the text into words first, and merges never cross the border of a word. A space "
        "belongs to the word after it.",
        "Training is greedy: at each step the most frequent pair in the corpus is merged. The list of merges, with "
        "its order, is the tokenizer. Encoding applies the merge of the lowest rank first, until none applies.",
        "The embedding table has vocabulary × width parameters, which is a large share of a small model. Loss per "
        "token depends on the tokenizer, so bits per byte compares models with different tokenizers. Special tokens "
        "mark the turns of a conversation, and the same characters typed by a user are never read as one.",
    ),
    everyday="A typesetter keeps whole pieces of type for common syllables, and single letters for the rest.",
    terms=("token", "bpe", "tokenizer", "corpus", "bits_per_byte"),
    stations=("tokenizer",),
    quiz=(
        Question(
            "Why not use whole words as tokens?",
            (
                "Words are too short",
                "New and misspelled words would have no token",
                "Computers cannot store words",
            ),
            1,
            "A dictionary of words is never complete. Pieces of words can build any word.",
        ),
        Question(
            "Which pair does BPE merge next when it is trained?",
            ("The longest one", "The first one in the text", "The most frequent one"),
            2,
            "BPE counts neighbors in the corpus and merges the pair that occurs most often.",
        ),
        Question(
            "The vocabulary grows. What happens to the number of tokens of a text?",
            ("It falls or stays the same", "It rises", "It is always equal to the number of words"),
            0,
            "More merges make longer tokens, so the same text needs fewer of them.",
        ),
        Question(
            "What does a byte-level tokenizer do with a character that the corpus never had?",
            ("It fails", "It leaves it out", "It writes it as several byte tokens"),
            2,
            "Every byte is a token, so every character can be written, if necessary byte by byte.",
        ),
        Question(
            "Two models have different tokenizers. Which figure compares them fairly?",
            ("Loss per token", "Bits per byte", "Number of tokens"),
            1,
            "A token of one model can hold more text than a token of the other. A byte is the same for both.",
        ),
    ),
)
