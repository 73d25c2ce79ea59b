"""The words of the trade, each explained three ways. Pages show the first where the word stands."""

from dataclasses import dataclass

from feedback.rules.collection.preference import STRENGTH_SCALE


@dataclass(frozen=True)
class Term:
    """`short` stands beside the word, `detail` in the glossary, `everyday` compares it with something known."""

    key: str
    name: str
    short: str
    detail: str
    everyday: str = ""


def _terms(*terms: Term) -> dict[str, Term]:
    return {term.key: term for term in terms}


TERMS = _terms(
    Term(
        "prompt",
        "Prompt",
        "What is asked of a model: one message or a conversation that ends with a person's message.",
        "Prompts arrive over the API, from an import, or from a page. Each belongs to a family (prompts that begin "
        "with the same first message) and through it to a split, fixed when it arrives: 80 % may be trained on, 10 % "
        "choose settings, 10 % decide whether a new model is better.",
        "A question handed over the counter.",
    ),
    Term(
        "response",
        "Response",
        "A text that answers a prompt, written by a model version or by a person.",
        "Every generated response keeps the model version, the sampling settings and the random seed that made it, so "
        "that it can be traced and made again. Annotators never see any of that.",
        "An answer slip with the name folded under.",
    ),
    Term(
        "task",
        "Task",
        "What an annotator is asked: a prompt with the responses to judge.",
        "A task is open until it has as many answers, from as many different people, as the project wants. Nobody gets "
        "the same task twice, and no two people hold the same place on it at the same time.",
        "One envelope in the tray.",
    ),
    Term(
        "assignment",
        "Assignment",
        "A task held by one annotator for ten minutes, renewed while the page is open and in view.",
        "If an assignment runs out its place goes to somebody else; an answer sent later is still kept, but may no "
        "longer count towards the number that the project wants.",
        "A library book on your card.",
    ),
    Term(
        "annotation",
        "Annotation",
        "One annotator's answer to one task. A revision is added beside it; nothing is overwritten.",
        "An annotation keeps the order in which the responses were shown, the time spent, and the guidelines in force. "
        "It becomes preference pairs for training in the same moment in which it is stored.",
        "A signed ballot: it can be replaced by a new one, but stays in the box.",
    ),
    Term(
        "pair",
        "Preference pair",
        "A prompt, the response that was preferred, the one that was not, and how strongly.",
        "Pairs are what reward models learn from. Ties and “both bad” make no pair, but are kept for agreement and for "
        "methods that learn from single responses.",
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
        "How often people who judged the same task say the same.",
        "Raw agreement is the share of equal answers. Krippendorff's alpha (α) takes out what chance alone would "
        "give: 1 is perfect, 0 is chance. Around 0.4 to 0.6 is usual for preferences between chat answers.",
        "Two tasters naming the same wine.",
    ),
    Term(
        "guard",
        "Guard",
        "A classifier that reads prompts and responses before anybody sees them, and blocks what it was told to.",
        "It is trained on the labels that people gave. Its probability of a class can also be a term of the reward in "
        "PPO, so that the policy learns to stay clear. What it blocks an admin may let on, with a reason.",
        "The doorman.",
    ),
    Term(
        "marker",
        "Marker",
        "A tagger whose spans stand on the desk beforehand, to be accepted, changed or cleared.",
        "It is trained on the spans that people marked. At intake it can find names and the like, which have no form "
        "that a rule would know, so that they are masked.",
        "A colleague who read it before you, pencil in hand.",
    ),
    Term(
        "gold",
        "Gold task",
        "A task whose right answer is known, mixed in to see whether judging still works as meant.",
        "How somebody does on gold is told as last week's total only, so that single checks cannot be guessed.",
        "A weight of known mass put on the scales.",
    ),
    Term(
        "snapshot",
        "Snapshot",
        "The exact rows that a training run learns from, frozen and named by their hash.",
        "The same rows give the same hash on any machine. A snapshot never changes; if a person asks to be forgotten "
        "it is revoked, and every model trained on it is marked.",
        "A photograph of the ledger, with a seal.",
    ),
    Term(
        "split",
        "Split",
        "Which part of the data a prompt is in: train, selection or test. Fixed when it arrives.",
        "Models learn from train only. Selection chooses settings and when to stop. Test is for the last word: is the "
        "new model better? Prompts of one group (a document, a conversation, a customer) share a split.",
        "Exam questions are not handed out with the homework.",
    ),
    Term(
        "corpus",
        "Corpus",
        "The collection of texts from which a model first learns the language.",
        "Each document keeps source, kind and licence. Duplicates, exact and near, are left out, and nothing that "
        "evaluation prompts contain may be in it.",
        "The books a child grew up with.",
    ),
    Term(
        "tokenizer",
        "Tokenizer",
        "Cuts text into the pieces (tokens) that a model reads and writes.",
        "Ours learns its pieces from the corpus: frequent words become one token, rare ones several. It works on "
        "bytes, so no text is unreadable to it.",
        "Syllables chosen by how often they come up.",
    ),
    Term(
        "pretraining",
        "Pretraining",
        "Learning to continue any text of the corpus, one token at a time.",
        "The figure is bits per byte: how many yes/no questions the model still needs, on average, to know the next "
        "byte of text it has not seen. Lower is better.",
        "Learning a language by reading, before anyone says what a good answer is.",
    ),
    Term(
        "sft",
        "SFT",
        "Supervised fine-tuning: learning to answer by imitating demonstrations.",
        "The model sees a prompt and a good answer and learns to write that answer. It is the start of PPO and also "
        "the reference that PPO is held near to.",
        "Copying the master's letters before writing one's own.",
    ),
    Term(
        "reward_model",
        "Reward model",
        "A model that gives every response a number: the higher, the more people would prefer it.",
        "It learns from pairs: the preferred response shall get the higher number. Its accuracy is the share of unseen "
        "pairs that it puts in the same order as people did; people's own disagreement sets the ceiling.",
        "An apprentice who has watched the judge long enough to guess the verdict.",
    ),
    Term(
        "ppo",
        "PPO",
        "Proximal policy optimisation: the model answers, the reward model marks, the model shifts a little.",
        "Each round samples answers, marks them, and moves the model towards the better ones, with a clip on how far "
        "it may move and a price (KL) on straying from the SFT model.",
        "Practising with a coach who allows small corrections only.",
    ),
    Term(
        "policy",
        "Policy",
        "The language model that answers, as it is trained and served.",
        "Versions are numbered. One of them serves the project; promoting one is a click, and so is going back.",
        "The person presently at the counter.",
    ),
    Term(
        "reference_model",
        "Reference model",
        "The frozen model that the policy is held near to while it is trained.",
        "Without it a policy soon finds texts that please the reward model and nobody else.",
        "The rail beside the stairs.",
    ),
    Term(
        "kl",
        "KL",
        "How far the policy has moved from the reference model, in nats per completion.",
        "Zero means equal. Between about 1 and 8 is ordinary for short answers; a rapid rise beside a rising reward "
        "means that the policy is pleasing the reward model rather than people.",
        "How long a leash is being used.",
    ),
    Term(
        "rollout",
        "Rollout",
        "A batch of answers that the policy writes during PPO, with their rewards.",
        "Rollouts are made with the model as it is at that step; that is what “on policy” means.",
        "A practice match.",
    ),
    Term(
        "win_rate",
        "Win rate",
        "How often the candidate's answer is preferred to the other model's, on prompts kept for testing.",
        "50 % is a draw. The interval beside it says how sure the figure is. It is worth as much as its judge: a "
        "reward model prefers the policy that was trained to please it even where that became worse.",
        "Games won out of games played.",
    ),
    Term(
        "gate",
        "Gate",
        "What a candidate must pass before it may serve.",
        "The candidate and the serving version answer the test prompts. Everything that speaks against the candidate "
        "is a finding with a name, and a finding that blocks is overridden only with a reason.",
        "The trial match before a player joins the team.",
    ),
    Term(
        "serving",
        "Serving",
        "The model version that answers new prompts now.",
        "Its answers become the next tasks: so people always judge what the model says today.",
        "Who has the counter today.",
    ),
    Term(
        "chain",
        "Chain",
        "Training stages that run one after another, each starting from what the last one made.",
        "The usual chain is SFT, reward model, PPO, evaluation. No chain starts while one with the same stages is "
        "queued or running.",
        "A relay.",
    ),
    Term(
        "run",
        "Training run",
        "One stage of training: which data, which settings, what came out.",
        "A run has a sign of life every five seconds. After thirty silent seconds it is queued again, and goes on from "
        "its last checkpoint.",
        "One firing of the kiln.",
    ),
    Term(
        "checkpoint",
        "Checkpoint",
        "The state of a run saved on the way, from which it goes on after an interruption.",
        "Written aside and renamed last, so that a half-written one is never taken for a whole one.",
        "A bookmark.",
    ),
    Term(
        "worker",
        "Worker",
        "A process that does long work: writing responses, training, imports.",
        "Each worker listens to one queue and reports every few seconds. A page that waits for a worker says whether "
        "one is there.",
        "Someone at the bench behind the counter.",
    ),
    Term(
        "queue",
        "Queue",
        "Where work waits for a worker: generate, train, or default.",
        "The database row is the work; the queue only rings the bell. If a bell is not heard it is rung again.",
        "The rack of order slips.",
    ),
    Term(
        "model_version",
        "Model version",
        "What a run produced: weights with a manifest of hashes, its parent, its data and its figures.",
        "A version is a candidate until an admin approves or rejects it.",
        "A numbered casting.",
    ),
    Term(
        "schedule",
        "Schedule",
        "A rule that starts a chain: every so often, or after so many new pairs.",
        "Each due time starts its chain once, however many clocks are running.",
        "A standing order.",
    ),
    Term(
        "perplexity",
        "Perplexity",
        "Among how many equally likely tokens the model would have to guess at each step of a text.",
        "One would be certainty. It depends on how the tokenizer cuts, so bits per byte compares other models.",
        "How many doors it stands before at each word.",
    ),
    Term(
        "bits_per_byte",
        "Bits per byte",
        "How surprised the model is by unseen text: lower is better.",
        "Eight would be no knowledge at all; a compressor such as gzip needs about two to three on English.",
        "How many guesses until the next letter.",
    ),
    Term(
        "scope",
        "Scope",
        "What an API token may be used for.",
        "A token can never do more than its person: the effective right is the person's role and the token's scope "
        "together.",
        "A key that opens some of your doors.",
    ),
    Term(
        "guidelines",
        "Guidelines",
        "What annotators are told about how to judge. A change is a new version.",
        "Every annotation remembers which version was in force.",
        "The house rules on the wall.",
    ),
)
