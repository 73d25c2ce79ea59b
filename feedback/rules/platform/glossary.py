"""The glossary: each term with three explanations. Pages show the first as a tooltip."""

from feedback.rules.collection.preferences import STRENGTH_SCALE
from feedback.rules.platform.learn.terms import LEARN_TERMS
from feedback.rules.platform.term import Term


def _terms(*terms: Term) -> dict[str, Term]:
    return {term.key: term for term in terms}


TERMS = _terms(
    Term(
        "prompt",
        "Prompt",
        "The input of a model: one message, or a conversation that ends with a user message.",
        "Prompts arrive over the API, from an import, or from a page. Prompts with the same first "
        "message form a family. Each family is assigned to a split on arrival: 80 % train, 10 % "
        "selection (validation), 10 % test.",
        "A question at the counter.",
    ),
    Term(
        "response",
        "Response",
        "A text in reply to a prompt, written by a model version or a person.",
        "Every generated response records its model version, sampling settings and random seed, so "
        "that it can be traced and reproduced. Annotators do not see them.",
        "An exam paper with the name covered.",
    ),
    Term(
        "task",
        "Task",
        "A question for annotators: a prompt with the responses to judge.",
        "A task is open until the required number of annotators have annotated it. An annotator never "
        "gets the same task twice.",
        "An envelope in the tray.",
    ),
    Term(
        "assignment",
        "Assignment",
        "A task held by one annotator for ten minutes, renewed while the page is open and visible.",
        "An expired assignment goes to another annotator. A late annotation is still saved, but may "
        "not count toward the required number.",
        "A borrowed library book.",
    ),
    Term(
        "annotation",
        "Annotation",
        "One annotator's answer to one task. Revisions are added; nothing is overwritten.",
        "An annotation records the order in which the responses were shown, the time spent, and the "
        "guidelines in force. Its preference pairs are stored in the same transaction.",
        "A signed ballot: a new one can replace it, but the old one stays on file.",
    ),
    Term(
        "pair",
        "Preference pair",
        "A prompt with a chosen response, a rejected response, and a strength.",
        "Reward models and DPO learn from pairs. Ties and “both bad” make no pair; they count for "
        "agreement and for methods that learn from single responses, such as KTO.",
        "“I would rather have this one than that one.”",
    ),
    Term(
        "strength",
        "Strength",
        f"How much better: {STRENGTH_SCALE}.",
        "The number key chooses side and strength at once: 1 to 4 for A, the strongest first, 6 to 9 for B, the "
        "strongest last.",
        "How far the scale tips.",
    ),
    Term(
        "agreement",
        "Agreement",
        "How often annotators of the same task agree.",
        "Raw agreement is the share of equal annotations. Krippendorff's alpha (α) corrects for "
        "chance: 1 is perfect, 0 is chance. Values of 0.4 to 0.6 are usual for preferences between "
        "chat responses.",
        "Two tasters naming the same wine.",
    ),
    Term(
        "guard",
        "Guard",
        "A classifier that screens prompts and responses before anyone sees them.",
        "It is trained on labels and blocks selected classes above a threshold. Its probability of a "
        "class can also be a term of the reward in PPO. An admin can unblock texts with a reason.",
        "A doorman.",
    ),
    Term(
        "marker",
        "Marker",
        "A tagger that suggests spans for annotators to accept, change or remove.",
        "It is trained on spans that annotators marked. It can also detect personal data without a "
        "fixed pattern in prompts, such as names.",
        "A colleague who read the text before you, pencil in hand.",
    ),
    Term(
        "gold",
        "Gold task",
        "A task with a known answer, used to measure the accuracy of annotators.",
        (
            "Gold tasks look like other tasks. Annotators see only last week's total, so that they cannot "
            "identify single gold tasks."
        ),
        "A reference weight on a scale.",
    ),
    Term(
        "snapshot",
        "Snapshot",
        "The exact rows of a training run, frozen and identified by a hash.",
        "The same rows give the same hash on any machine. A snapshot never changes. If an annotator "
        "is erased, it is revoked, and every model trained on it is marked.",
        "A sealed photograph of a ledger.",
    ),
    Term(
        "split",
        "Split",
        "The part of the data a prompt belongs to: train, selection (validation) or test. Fixed on arrival.",
        "Models are trained on train only. Selection is the validation split: it chooses checkpoints "
        "and settings. Test is for the final evaluation. Prompts of one group (a document, a "
        "conversation, a customer) share a split.",
        "Exam questions are not part of the homework.",
    ),
    Term(
        "corpus",
        "Corpus",
        "A collection of texts for pretraining.",
        "Each document has a source, kind and license. Exact and near duplicates are excluded, as are "
        "documents that contain held-out prompts.",
        "The books a child grows up with.",
    ),
    Term(
        "tokenizer",
        "Tokenizer",
        "Splits text into tokens, the units that a model reads and writes.",
        "Byte-level BPE trained on the corpus: frequent words become one token, rare words several. "
        "It can encode any text.",
        "Syllables chosen by frequency.",
    ),
    Term(
        "pretraining",
        "Pretraining",
        "Training a model to predict the next token of the corpus.",
        "The metric is bits per byte: the average number of bits needed to encode each byte of "
        "held-out text. Lower is better.",
        "Learning a language by reading, before anyone says what a good answer is.",
    ),
    Term(
        "sft",
        "SFT",
        "Supervised fine-tuning: training on demonstrations.",
        "The model learns to write the demonstrated response to each prompt. The SFT model is the "
        "initial policy and the reference model of PPO.",
        "Copying good letters before writing your own.",
    ),
    Term(
        "reward_model",
        "Reward model",
        "A model that scores responses: the higher, the more people would prefer them.",
        "It is trained to score the chosen response of a pair higher than the rejected one. Its "
        "accuracy is the share of unseen pairs that it orders like the annotators; their disagreement "
        "limits it.",
        "An apprentice who has watched the judge long enough to guess the verdict.",
    ),
    Term(
        "restart",
        "Restart",
        "One of several trainings of a run that differ in their seed alone.",
        "With few pairs a reward model depends on chance. It is therefore trained several times, and the "
        "weights with the lowest validation loss are kept.",
        "Taking the photograph three times and keeping the sharpest.",
    ),
    Term(
        "vote_error",
        "Error of an annotator",
        "How likely an annotation is the wrong way round, beyond what careful people disagree.",
        "At one half it teaches a reward model nothing; above, it counts as its opposite. It is estimated from "
        "tasks that several people judged. Until there are enough of these, the reward model learns a "
        "temperature for each annotator instead, which does the same.",
        "A clock that is known to be an hour slow still tells the time.",
    ),
    Term(
        "live_accuracy",
        "Live accuracy",
        "How often a reward model favors what people chose, on labels that it was not trained on.",
        "Every label is scored by the newest reward model before any training on it, and never again. The headline is "
        "taken on tasks that no model chose, beside the ceiling that the disagreement of people sets.",
        "Guess first, then open the envelope.",
    ),
    Term(
        "drift_alarm",
        "Drift alarm",
        "A warning that labels no longer agree with the reward model as its first live labels did.",
        "The first 300 live labels of a version are its baseline. An alarm of the version lets schedules train at once "
        "and stops models from choosing tasks; one of a single annotator sends annotations to reviewers.",
        "A scale that is checked against the same weight every morning.",
    ),
    Term(
        "ppo",
        "PPO",
        "Proximal policy optimization: reinforcement learning against the reward model.",
        "Each iteration samples responses, scores them, and makes better ones more likely. Updates "
        "are clipped, and a KL penalty keeps the policy close to the SFT model.",
        "Practicing with a coach who allows only small corrections.",
    ),
    Term(
        "policy",
        "Policy",
        "A language model that generates responses.",
        "Versions are numbered. One of them serves the project. An admin promotes a version or rolls back.",
        "The clerk at the counter.",
    ),
    Term(
        "reference_model",
        "Reference model",
        "The frozen model that the KL penalty compares the policy with.",
        "Without it, a policy drifts to texts that only the reward model scores highly (reward hacking).",
        "A handrail.",
    ),
    Term(
        "kl",
        "KL",
        "KL divergence of the policy from the reference model, in nats per completion.",
        "Zero means identical. About 1 to 8 is typical for short responses. A fast rise together with "
        "a rising reward is a sign of reward hacking.",
        "The length of a leash in use.",
    ),
    Term(
        "rollout",
        "Rollout",
        "A batch of responses that the policy samples during PPO, with their rewards.",
        "Rollouts are sampled from the current policy (“on-policy”).",
        "A practice match.",
    ),
    Term(
        "win_rate",
        "Win rate",
        "The share of held-out prompts on which the candidate's response is preferred.",
        "50 % is a draw; the interval shows the uncertainty. It depends on the judge: a reward model "
        "prefers the policy that was optimized against it even if that policy became worse.",
        "Games won out of games played.",
    ),
    Term(
        "gate",
        "Gate",
        "The checks that a candidate must pass before promotion.",
        "The candidate and the serving version respond to the test prompts. Each problem is a named "
        "finding. Overriding a blocking finding needs a reason.",
        "The trial match before a player joins the team.",
    ),
    Term(
        "serving",
        "Serving",
        "The model version that generates responses now.",
        "Its responses become the next tasks, so annotators always judge the current model.",
        "The clerk on duty today.",
    ),
    Term(
        "chain",
        "Chain",
        "Training stages that run one after another, each from the model of the stage before.",
        "A typical pipeline run has SFT, reward model, PPO and evaluation. Only one pipeline run with "
        "the same stages can be queued or running. The API calls it a chain.",
        "A relay race.",
    ),
    Term(
        "run",
        "Training run",
        "One stage of training with its data, settings and results.",
        "A run sends a heartbeat every five seconds. After thirty seconds without one it is queued "
        "again and resumes from its last checkpoint.",
        "One batch in an oven.",
    ),
    Term(
        "checkpoint",
        "Checkpoint",
        "The saved state of a run, from which it resumes after an interruption.",
        "A checkpoint is written to a temporary folder and renamed last, so that an incomplete one is never used.",
        "A bookmark.",
    ),
    Term(
        "worker",
        "Worker",
        "A process that runs long jobs: generation, training, imports.",
        "Each worker serves one queue and reports every few seconds. Pages that wait for a worker "
        "show whether one is running.",
        "A technician in the back office.",
    ),
    Term(
        "queue",
        "Queue",
        "Where jobs wait for a worker: generate, train, or default.",
        "The database row is the job; the queue only notifies workers. A lost notification is sent again.",
        "A rack of order slips.",
    ),
    Term(
        "model_version",
        "Model version",
        "The result of a training run: weights with a manifest of hashes, parent version, data and metrics.",
        "A version is a candidate until an admin approves or rejects it.",
        "A numbered release.",
    ),
    Term(
        "campaign",
        "Campaign",
        "A plan that collects labels, trains on them and lets people compare the result, in rounds.",
        "A round starts its pipeline run when its labels are in, and ends when people's votes have decided about the "
        "new policy. The campaign ends when its budget of labels is used up.",
        "A subscription that is renewed as long as there is money in the account.",
    ),
    Term(
        "contest",
        "Contest",
        "A comparison of a candidate with the serving version, decided by people's blind votes.",
        "Annotators judge responses of both among their other tasks and cannot tell which is which. The evidence may "
        "be read after every vote: an equal candidate wins in at most 5 % of contests.",
        "A blind tasting that ends as soon as the result is clear.",
    ),
    Term(
        "evidence",
        "E-value",
        "How strongly votes speak against “the candidate is no better”: 20 promotes it.",
        "It starts at 1 and multiplies with every judged prompt, like the capital of a gambler who bets on the "
        "candidate at fair odds. If the candidate is no better, it reaches 20 with a chance of 5 % at most, however "
        "often it is read.",
        "What a fair bet has made of one dollar.",
    ),
    Term(
        "schedule",
        "Schedule",
        "A rule that starts a pipeline run: at an interval, or after a number of new pairs.",
        "Each due time starts exactly one pipeline run.",
        "A standing order.",
    ),
    Term(
        "perplexity",
        "Perplexity",
        "The effective number of equally likely tokens the model chooses from at each step.",
        "One means certainty. It depends on the tokenizer, so use bits per byte to compare models.",
        "The number of doors to choose from at each step.",
    ),
    Term(
        "bits_per_byte",
        "Bits per byte",
        "Loss on held-out text, independent of the tokenizer: lower is better.",
        "Eight means no knowledge; a compressor such as gzip needs two to three on English.",
        "The number of guesses until the next letter.",
    ),
    Term(
        "leaderboard",
        "Leaderboard",
        "Models ordered by how often people prefer them in blind comparisons.",
        "It fits one strength to each model (Bradley and Terry), so that models which never met can be ordered by way "
        "of others. It shows where votes are missing; it never decides what serves. Only a contest, whose rules are "
        "fixed before its first vote, may do that.",
        "A league table: it tells the form of the teams, and awards no cup.",
    ),
    Term(
        "battle",
        "Battle",
        "A member's own prompt, answered by two versions that are named after the vote.",
        "Two of the newest versions are drawn by chance. The vote is an annotation like others, but counts at no gate "
        "and in no contest. The leaderboard shows it apart, because voters choose the prompts. Models train on it "
        "only where the project says so.",
        "A blindfold tasting of two dishes that you ordered yourself.",
    ),
    Term(
        "arena_score",
        "Score (leaderboard)",
        "The chance that people prefer this model to one of average strength on the leaderboard.",
        "50 % is average. The score changes when models join or leave, because the average does. The interval treats "
        "all votes on one prompt as one observation, since they are alike.",
        "How likely a team is to beat an average team of its league.",
    ),
    Term(
        "scope",
        "Scope",
        "The operations that an API token allows.",
        "A token never has more rights than its owner: a request needs both the owner's role and the token's scope.",
        "A key that opens some of your doors.",
    ),
    Term(
        "guidelines",
        "Guidelines",
        "Instructions for annotators. Each change creates a new version.",
        "Every annotation records the version in force.",
        "The rules on the office wall.",
    ),
    Term(
        "active_selection",
        "Active selection",
        "The reward model selects pairs of responses whose comparison should teach it most.",
        "Part of each batch stays random, so that accuracy can be measured without bias. It is off by default and can "
        "be switched on only after a replay shows that it saves labels in this project. A drift alarm switches it off.",
        "A student who asks about what they are unsure of.",
    ),
    Term(
        "selection_replay",
        "Selection replay",
        "A trial of active selection on labels that already exist, against random labels.",
        "Five reward models learn from the half of the labels that active selection would have picked, five from a "
        "random half; all are measured on the same validation pairs. The replay passes if the 95 % interval of the "
        "difference is above zero. It is repeated when the number of labels has grown by half.",
        "A test drive on your own road.",
    ),
    *LEARN_TERMS,
)
