"""Data collection: prompts, responses, tasks and annotations."""

from feedback.rules.platform.learn.stage import LearnStage, Question

DATA_COLLECTION = LearnStage(
    key="data-collection",
    name="Data collection",
    title="How do judgments become data?",
    lead="Judge two responses below and see the row that a model will train on.",
    basic=(
        "A model learns from examples. This project collects them from people: somebody sends a message, a model "
        "writes two responses, and an annotator chooses the better one.",
        "Each choice is stored as an annotation. Many annotations together describe what people want, more exactly "
        "than any rule could.",
        "Good data needs clear guidelines and careful people. A model copies what it is shown, mistakes included.",
    ),
    medium=(
        "A prompt arrives over the API, from an import or from a form. The serving model samples several responses, "
        "and each pair becomes a task. A task stays open until enough annotators have answered it.",
        "An annotation stores the answer, its strength, the order in which the responses were shown and the time "
        "spent. It is never overwritten: a revision is added. Several annotations of one task measure agreement.",
        "Prompts are divided into train (80 %), validation (10 %) and test (10 %) on arrival. Models train on the "
        "first part only, so that the other two can show whether they learned or only memorized.",
    ),
    detailed=(
        "Tasks are assigned for ten minutes and renewed while they are in view. The order of the two responses is "
        "random for each assignment, so that a preference for one side can be measured and does not favor a model.",
        "Reliability is estimated from tasks that several people answered: raw agreement, Krippendorff's alpha, "
        "which corrects for chance, and an error rate for each annotator. Gold tasks with known answers check "
        "accuracy. Unreliable annotations can be left out or weighted in a snapshot.",
        "The split follows from a hash of the first message, so that related prompts share one. A snapshot freezes "
        "the rows of a training run and is named by their SHA-256. The same rows give the same name on any machine, "
        "which makes a run reproducible.",
    ),
    everyday="An editor marks the better of two drafts, and the marks are copied into a ledger.",
    terms=("prompt", "response", "task", "annotation", "guidelines", "agreement", "gold", "split", "snapshot"),
    stations=("prompts", "responses", "tasks", "annotations"),
    quiz=(
        Question(
            "Why do annotators not see which model wrote a response?",
            ("To save space on the page", "So that a model's name does not influence them", "Because it is not stored"),
            1,
            "A known name changes judgments. The version is stored, and shown only to people who do not judge.",
        ),
        Question(
            "An annotator changes their mind. What happens to the first annotation?",
            ("It is overwritten", "It is deleted", "It stays, and the revision is added"),
            2,
            "Annotations are append-only. The newest one counts, and the history remains.",
        ),
        Question(
            "What is the test split for?",
            ("Training on more data", "A final evaluation on prompts that no training has seen", "Testing annotators"),
            1,
            "Figures on prompts that a model was trained on are too good. Test prompts are kept out of training.",
        ),
        Question(
            "Two annotators agree on 60 % of the comparisons of two chat responses. What does that mean?",
            (
                "One of them is careless",
                "It is usual: many pairs are close",
                "The data is useless",
            ),
            1,
            "People agree on about 60 to 75 % of such pairs. Agreement is the ceiling that a reward model can reach.",
        ),
        Question(
            "Why is the order of the two responses random?",
            (
                "A preference for one side would otherwise favor one of the models",
                "It makes the work less boring",
                "The database returns rows in random order",
            ),
            0,
            "Some people choose the left response more often. With a random order this adds noise, but no bias.",
        ),
    ),
)
