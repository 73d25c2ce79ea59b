"""Text classification: labels of whole texts."""

from feedback.rules.platform.learn.stage import LearnStage, Question

TEXT_CLASSIFICATION = LearnStage(
    key="text-classification",
    name="Text classification",
    title="How does a model sort messages?",
    lead="Type a message and see where the classifier files it, then compare its mailbox with the one people filed.",
    basic=(
        "A classifier puts a text under a label, such as Work, Personal or Promotions. It learns from texts that "
        "people have labeled.",
        "It states a probability for each label. A message that fits two labels gets two middling bars, and that is "
        "useful to know: a person can look at the unclear ones.",
        "In this project a classifier can also stand at the door as the guard model: it blocks messages that carry "
        "an unwanted label.",
    ),
    medium=(
        "The classifier is an encoder with an output layer that has one score for each label. Softmax turns the "
        "scores into probabilities. Where a text may have several labels, each has a probability of its own.",
        "Accuracy alone misleads when one label is frequent: whoever always answers “not spam” is right most of the "
        "time. F1 combines precision and recall for each label, and macro F1 is their mean.",
        "Probabilities should be calibrated: of all texts with 80 %, about 80 % should carry that label. A "
        "temperature, fitted on validation texts, corrects overconfidence.",
    ),
    detailed=(
        "The output layer reads the mean of the encoder's token vectors. The loss is cross-entropy over the classes, "
        "or binary cross-entropy for each class of a scheme with several labels. The weights of the lowest "
        "validation loss are kept.",
        "The confusion matrix shows which labels are mistaken for which. Where people confuse the same pair, the "
        "guidelines are unclear, and more data will not help.",
        "A simple baseline, TF-IDF with logistic regression, is trained on the same rows. A neural classifier that "
        "does not beat it is not worth its cost. As a guard model, its threshold trades blocked good texts for "
        "passed bad ones.",
    ),
    everyday="A mail clerk who was shown a hundred letters for each pigeonhole.",
    terms=("classifier", "encoder", "guard", "f1", "calibration", "overfitting"),
    stations=("classify",),
    quiz=(
        Question(
            "A classifier always answers “not spam”, and 95 % of the messages are no spam. What is its accuracy?",
            ("50 %", "95 %", "5 %"),
            1,
            "It is right for every message that is no spam, and finds no spam at all. Macro F1 shows that.",
        ),
        Question(
            "What does “calibrated” mean?",
            (
                "Of all texts with a probability of 80 %, about 80 % carry the label",
                "Every probability is above 80 %",
                "The labels are sorted",
            ),
            0,
            "A calibrated probability can be taken at its word, for example for a threshold.",
        ),
        Question(
            "Two labels have 48 % and 47 %. What is the best use of that?",
            ("Ignore it", "Let a person look at this message", "Delete the message"),
            1,
            "The classifier cannot tell. Such texts teach most when a person labels them.",
        ),
        Question(
            "Why is a simple baseline trained on the same rows?",
            (
                "To see whether the larger model is worth its cost",
                "To train the larger model faster",
                "Because labels are needed twice",
            ),
            0,
            "A result means little without something to compare it with.",
        ),
        Question(
            "The confusion matrix shows that people and model confuse the same two labels. What helps most?",
            ("A larger model", "Clearer guidelines for these labels", "A lower learning rate"),
            1,
            "Where people disagree, the data does not contain the answer.",
        ),
    ),
)
