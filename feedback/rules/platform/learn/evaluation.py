"""Evaluation and safety."""

from feedback.rules.platform.learn.stage import LearnStage, Question

EVALUATION = LearnStage(
    key="evaluation",
    name="Evaluation and safety",
    title="How do we know that it is better, and safe?",
    lead="Compare responses by three scores, helpful, truthful and harmless, and see where they disagree.",
    basic=(
        "A new model is not better because it is new. It is better if people prefer it when they do not know which "
        "model wrote what.",
        "“Better” has parts. A response can be helpful and rude, or polite and wrong. So helpful, truthful and "
        "harmless are asked about separately.",
        "Before a model serves everybody, a gate checks it. If it turns out bad after all, one click brings the old "
        "one back.",
    ),
    medium=(
        "The candidate and the serving model respond to prompts that neither was trained on. People compare the "
        "responses blind, in a random order. The win rate is given with an interval: 55 % of 40 votes proves little.",
        "The gate checks more than the win rate: KL, responses that do not end, repetition, length, and prompts that "
        "leaked into training. A guard model screens for unwanted content.",
        "Scores pull in different directions. A model that refuses everything is harmless and useless. That is why "
        "one number hides what three numbers show.",
    ),
    detailed=(
        "Votes are judged sequentially with an e-value, which stays valid however often it is read. It promotes at "
        "20, so a candidate that is no better wins in at most 5 % of contests. Votes on one prompt count as one unit.",
        "The judge must be independent: never the reward model that was optimized. Length is controlled for, since "
        "people choose the longer response more often. Safety is tested for non-inferiority: the candidate must not "
        "be worse by more than a margin.",
        "Goodhart's law applies to every metric that training can see. Held-out prompts, blind people and separate "
        "dimensions each remove one way to be fooled. A rollback restores the previous version in one transaction.",
    ),
    everyday="A blind tasting with a scorecard for taste, honesty of the label, and whether anybody fell ill.",
    terms=("gate", "win_rate", "evidence", "contest", "dimension", "guard", "leaderboard", "serving"),
    stations=("gate", "serving"),
    quiz=(
        Question(
            "A candidate wins 22 of 40 votes. What do you know?",
            ("It is better", "Not enough: the interval includes one half", "It is worse"),
            1,
            "55 % of 40 votes has an interval of about 40 to 69 %.",
        ),
        Question(
            "Why must people not know which model wrote a response?",
            ("Knowing changes what they choose", "It is secret", "They would be faster"),
            0,
            "Expectation influences judgment. Blind comparison removes it.",
        ),
        Question(
            "A model refuses every request. Which scores does it get?",
            ("Helpful high, harmless high", "Helpful low, harmless high", "All low"),
            1,
            "It does no harm and no good. One number for both would hide that.",
        ),
        Question(
            "What does an e-value of 20 mean here?",
            (
                "The candidate wins by 20 votes",
                "Evidence strong enough that a candidate that is no better reaches it in at most 5 % of contests",
                "20 people have voted",
            ),
            1,
            "It may be read after every vote, unlike an ordinary p-value.",
        ),
        Question(
            "The win rate rises from 50 % to 60 %, and responses are twice as long. What should be checked?",
            (
                "Whether people prefer the length and not the content",
                "Whether the disk is full",
                "Nothing",
            ),
            0,
            "People choose the longer response more often. A length-controlled win rate takes that out.",
        ),
    ),
)
