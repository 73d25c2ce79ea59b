"""RLHF with PPO, and what happens without the KL penalty."""

from feedback.rules.platform.learn.stage import LearnStage, Question

RLHF = LearnStage(
    key="rlhf",
    name="RLHF with PPO",
    title="How does feedback change a model, and how does it go wrong?",
    lead="Move the slider through a training run, with the KL penalty and without it.",
    basic=(
        "Now the model practices. It writes responses, the reward model scores them, and responses with a high score "
        "become a little more likely. Then it writes again.",
        "There is a leash: the farther the model strays from where it started, the more is subtracted from its score.",
        "Without the leash it finds tricks. It repeats what the reward model likes, and the texts become nonsense "
        "while the score still rises. This is called reward hacking, and you can watch it above.",
    ),
    medium=(
        "Proximal policy optimization (PPO) samples a batch of responses, scores them, and updates the policy in "
        "small steps. Each update is clipped, so that no token's probability changes much at once.",
        "The KL divergence measures how far the policy is from the reference model, in nats per response. A multiple "
        "of it is subtracted from the reward.",
        "Watch both curves. Reward that rises with a KL of a few nats is progress. Reward that rises with a KL that "
        "runs away is hacking: the reward model is asked about texts that it never saw in training.",
    ),
    detailed=(
        "The objective is E[r(x, y) − β · KL(π ‖ π_ref)]. The penalty is applied per token, and the score of the "
        "reward model at the last one. Advantages come from generalized advantage estimation with a critic that "
        "starts as the reward model. The ratio of new to old probability is clipped to 1 ± 0.2.",
        "Gao et al. (2023) describe over-optimization: true quality follows d(α − β log d) with d = √KL. It rises, "
        "peaks and falls, while the proxy reward keeps rising. More labels and less label noise move the peak.",
        "This service watches KL, entropy, the share of responses that end, and repetition, and raises alarms. It "
        "hands back the weights with the best validation reward within the KL budget. The reward model that was "
        "optimized against is no evidence that the result is better.",
    ),
    everyday="Practicing with a coach who allows small corrections only. Without one, you play for the scoreboard.",
    terms=("ppo", "policy", "rollout", "kl", "reference_model", "reward_hacking", "reward_model"),
    stations=("ppo",),
    quiz=(
        Question(
            "Reward rises steadily, and KL rises just as fast without a limit. What is likely?",
            ("The model becomes excellent", "The policy exploits the reward model", "Training has stopped"),
            1,
            "Far from its start, the policy writes texts that the reward model cannot judge.",
        ),
        Question(
            "What does the KL penalty do?",
            (
                "It keeps the policy near the reference model",
                "It makes responses longer",
                "It blocks harmful words",
            ),
            0,
            "Each nat of distance costs reward, so a change must be worth it.",
        ),
        Question(
            "Why are the updates of PPO clipped?",
            ("To save memory", "So that a single batch cannot change the policy too much", "To remove long responses"),
            1,
            "The samples come from the policy before the update. Far away from it they say little.",
        ),
        Question(
            "The reward model prefers the new policy in 98 % of comparisons. Is that evidence that people will?",
            ("Yes, very strong evidence", "No: the policy was trained to please this reward model", "Only at night"),
            1,
            "Only an independent judge counts, above all people who compare blindly.",
        ),
        Question(
            "Which text is a sign of reward hacking?",
            (
                "“Please check the cable. Thank you.”",
                "“Hello console console console console console.”",
                "“I do not know.”",
            ),
            1,
            "Repetition of a rewarded word is typical: the score rises, and nobody is helped.",
        ),
    ),
)
