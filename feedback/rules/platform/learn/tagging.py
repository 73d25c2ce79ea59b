"""Token classification: labels of parts of texts."""

from feedback.rules.platform.learn.stage import LearnStage, Question

TOKEN_CLASSIFICATION = LearnStage(
    key="token-classification",
    name="Token classification",
    title="How does a model find names, places and dates?",
    lead="Type a sentence and watch the tagger mark its parts.",
    basic=(
        "Sometimes a label for the whole text is not enough. “Meet Anna in Graz on Friday” holds a name, a place and "
        "a date, and each stands somewhere.",
        "A tagger marks such parts. It learns from texts in which people have marked them, and looks at the words "
        "around: after “in” there is often a place.",
        "In this project a tagger marks texts beforehand, so that annotators only correct. It can also find personal "
        "data in messages.",
    ),
    medium=(
        "Each token gets a tag: B for the beginning of a part, I for inside of one, O for outside. “New York” "
        "becomes B-place, I-place. The tags together give the parts, called spans.",
        "An encoder reads the text, and an output layer scores the tags of each token. The best sequence in which I "
        "follows only B or I of the same label is decoded, so that no span begins in its middle.",
        "A found span counts as right only if start, end and label all match. Half a name is wrong. F1 over spans is "
        "the usual figure.",
    ),
    detailed=(
        "The loss is the negative log-likelihood of the whole tag sequence under a linear-chain model (CRF) with "
        "learned transitions. Decoding uses the Viterbi algorithm. The score of a span is the mean marginal "
        "probability of its tokens.",
        "Tokens and spans need not share their borders. A token belongs to a span if its characters overlap it. The "
        "share of spans that survive this round trip is reported, since it is the ceiling that the tokenizer sets.",
        "During training some spans are replaced with others of the same label, so that the tagger learns the "
        "context and not a list of names. Long texts are read in overlapping windows. A structured perceptron on the "
        "same rows is the baseline.",
    ),
    everyday="A colleague who reads the letter before you with three highlighters.",
    terms=("span", "marker", "encoder", "f1", "token"),
    stations=("tag",),
    quiz=(
        Question(
            "How many labels does a tagger give to a sentence of eight tokens?",
            ("One", "Eight: one tag for each token", "As many as there are names"),
            1,
            "Every token gets a tag. Most of them are O, outside of any span.",
        ),
        Question(
            "What does the tag I mean?",
            ("The token is inside of a span that began before", "The token is important", "The token is invalid"),
            0,
            "B begins a span, I continues it, and O is outside.",
        ),
        Question(
            "People marked “New York City”, and the tagger found “New York”. How is it counted?",
            ("As two thirds right", "As right", "As wrong"),
            2,
            "Start, end and label must all match. Otherwise half-found spans would look like success.",
        ),
        Question(
            "Why are names replaced with other names during training?",
            (
                "So that the context is learned and not a list of names",
                "To protect personal data",
                "To make texts longer",
            ),
            0,
            "New texts contain new names. The words around them are what repeats.",
        ),
        Question(
            "What should mark a span beside its color?",
            ("Nothing", "Its label as a word and a different underline", "A sound"),
            1,
            "About one man in twelve sees colors differently, so color must not carry the meaning alone.",
        ),
    ),
)
