"""Preferences and the reward model."""

from feedback.rules.platform.learn.stage import LearnStage, Question

PREFERENCES = LearnStage(
    key="preferences",
    name="Preferences and reward model",
    title="How does a model learn what people prefer?",
    lead="Let the reward model score two responses, and see which words moved its score.",
    basic=(
        "It is hard to write a perfect response, and easy to say which of two is better. So people compare.",
        "A second model, the reward model, learns from many comparisons to give a score to any response: higher if "
        "people would prefer it.",
        "It is a guess about people, not the truth. It can like a word too much, which the colored words above show.",
    ),
    medium=(
        "“A is better than B” becomes a preference pair: chosen, rejected and strength. The reward model gives both "
        "a score, and training raises the first above the second.",
        "The difference of two scores, put through the logistic function, is the probability that people prefer the "
        "first response. The scores themselves have no zero and no unit: only differences mean something.",
        "Accuracy is the share of unseen pairs on which reward model and annotators agree. People disagree among "
        "themselves, so 65 to 75 % is good, and far more is a reason to look for leaks.",
    ),
    detailed=(
        "The loss is −log σ(r(chosen) − r(rejected)), the Bradley–Terry model (1952). The model is the SFT trunk "
        "with a scalar output that reads the last token. Rewards are centered and scaled on samples of the SFT "
        "policy.",
        "With about 2,000 comparisons or fewer, a reward model is close to chance. Label noise lowers the ceiling: "
        "annotators can be weighted by their reliability, or by a temperature that is learned for each of them.",
        "Leave-one-out removes one word at a time and scores again. The change is the effect of that word in this "
        "response, given the others. It is not causal for people: it shows what the model reads, for example length "
        "or politeness instead of content.",
    ),
    everyday="An apprentice who has watched the editor long enough to guess the verdict.",
    terms=("pair", "strength", "reward_model", "bradley_terry", "vote_error", "agreement", "restart"),
    stations=("pairs", "reward"),
    quiz=(
        Question(
            "Response A has a reward of 2 and response B of 2. What would people choose, by this model?",
            ("A", "B", "Either, with a probability of one half"),
            2,
            "The logistic function of a difference of 0 is one half.",
        ),
        Question(
            "Why do people compare instead of giving grades?",
            (
                "A comparison needs no common scale",
                "Grades cannot be stored",
                "Comparisons are more fun",
            ),
            0,
            "One person's 7 is another one's 9. “A is better than B” means the same to both.",
        ),
        Question(
            "A reward model agrees with people on 97 % of unseen pairs, and people with each other on 73 %. What is "
            "likely?",
            (
                "It understands people better than they do",
                "The pairs were not really unseen",
                "The people are careless",
            ),
            1,
            "Agreement among people is about the ceiling. Far above it, look for a leak.",
        ),
        Question(
            "Leave-one-out shows that “please” adds much to the reward, whatever the response says. What follows?",
            (
                "Politeness is what people want most",
                "A policy trained on this reward may overuse it",
                "The word should be blocked",
            ),
            1,
            "What the reward model overrates, a policy will find. That is called reward hacking.",
        ),
        Question(
            "How many comparisons does a reward model need at least, as a rule?",
            ("About twenty", "Some thousand", "A billion"),
            1,
            "Studies find it near chance with about 2,000 or fewer, and then a steady rise.",
        ),
    ),
)
