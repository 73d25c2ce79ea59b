"""Terms of the glossary that the course needs beside those of the pages."""

from feedback.rules.platform.term import Term

LEARN_TERMS = (
    Term(
        "token",
        "Token",
        "The unit that a model reads and writes: a word, a part of one, or a byte.",
        "Each token has a number, its id. English text has about four bytes a token with a large vocabulary.",
        "A brick of a wall of text.",
    ),
    Term(
        "bpe",
        "Byte-pair encoding (BPE)",
        "Builds a vocabulary by merging the most frequent neighbors, again and again.",
        "It starts from the 256 bytes. Texts are encoded by the same merges in the same order, so any text can be "
        "encoded.",
        "Shorthand: whoever writes “th” often invents a sign for it.",
    ),
    Term(
        "next_token",
        "Next-token prediction",
        "The task of a causal language model: a probability for each possible next token.",
        "All that the model has read so far may be used, nothing after it. Text is written by choosing a token, "
        "adding it, and predicting again.",
        "Finishing somebody's sentence.",
    ),
    Term(
        "loss",
        "Loss",
        "The number that training makes smaller: how surprised the model is by the right answer.",
        "For tokens and labels it is the negative logarithm of the probability of the right one, in nats. Zero means "
        "certain and right.",
        "Penalty points for wrong guesses, more for confident ones.",
    ),
    Term(
        "overfitting",
        "Overfitting",
        "The model memorizes its training data and gets worse on new data.",
        "It shows when the loss on held-out data rises while the training loss falls. Fewer epochs or more data help.",
        "Learning the answers of last year's exam by heart.",
    ),
    Term(
        "temperature",
        "Temperature",
        "How adventurous sampling is: 0 takes the likeliest token, 1 samples as predicted.",
        "Scores are divided by it before they become probabilities. Above 1, unlikely tokens come more often.",
        "The dice in a game: fewer sides, fewer surprises.",
    ),
    Term(
        "encoder",
        "Encoder",
        "A model that reads a whole text from both sides and does not write.",
        "It turns each token into a vector that depends on all others. Classifiers and taggers put an output layer "
        "on it.",
        "A careful reader without a pen.",
    ),
    Term(
        "masked_modeling",
        "Masked language modeling",
        "Training an encoder to guess hidden tokens from the tokens on both sides.",
        "Usually 15 % of the tokens are selected. Most become a mask token, some a random token, some stay.",
        "A cloze test.",
    ),
    Term(
        "classifier",
        "Classifier",
        "A model that states a probability for each label of a text.",
        "It is trained on texts that people labeled. Used to screen content, it is called the guard model.",
        "A mail clerk with pigeonholes.",
    ),
    Term(
        "calibration",
        "Calibration",
        "Whether probabilities can be taken at their word.",
        "Of all cases with 80 %, about 80 % should be right. The expected calibration error (ECE) is the mean "
        "difference.",
        "A weather forecast: it should rain on eight of ten days with 80 %.",
    ),
    Term(
        "f1",
        "F1",
        "One figure for precision and recall: their harmonic mean, from 0 to 1.",
        "Precision is the share of findings that are right, and recall the share of what is there that was found. "
        "Macro F1 is the mean over labels, so that rare ones count as much.",
        "A mushroom picker: few poisonous ones, and few good ones left behind.",
    ),
    Term(
        "span",
        "Span",
        "A part of a text with a label, from one character to another.",
        "Tokens are tagged B (begin), I (inside) or O (outside). A predicted span is right only if start, end and "
        "label match.",
        "A stroke with a highlighter.",
    ),
    Term(
        "demonstration",
        "Demonstration",
        "A prompt with a response that a person wrote or accepted.",
        "Supervised fine-tuning imitates demonstrations.",
        "A master showing how it is done.",
    ),
    Term(
        "bradley_terry",
        "Bradley–Terry model",
        "The probability that one thing is preferred, from the difference of two scores.",
        "It is the logistic function of the difference. Reward models and leaderboards use it.",
        "Chess ratings.",
    ),
    Term(
        "reward_hacking",
        "Reward hacking",
        "The policy finds texts that the reward model scores highly and people do not like.",
        "It shows as a reward that rises together with a KL that runs away, low entropy, and repetition. A KL "
        "penalty and early stopping limit it. It is also called over-optimization.",
        "Teaching to the test.",
    ),
    Term(
        "dimension",
        "Dimension",
        "One aspect that is judged separately: helpful, truthful or harmless.",
        "Dimensions can disagree: a polite response can be wrong. Each is asked about beside the overall preference.",
        "A school report with a grade for each subject.",
    ),
)
