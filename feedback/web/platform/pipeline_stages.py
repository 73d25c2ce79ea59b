"""The stations of the ring, explained to someone who has never trained a language model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Explained:
    """One station: what it is in a line, why it is there, how it works, and something everyday that is like it."""

    key: str
    title: str
    short: str
    medium: str
    detail: str
    everyday: str
    arrow: str  # where the arrow out of it points on a wide page: right, left, up, down


# In the order in which things go round: the loop first, then where the very first model comes from.
STATIONS: tuple[Explained, ...] = (
    Explained(
        "prompts",
        "Prompts",
        "What people ask.",
        "Everything begins with a question. Prompts come from programs over REST, from an import, or are typed in. The "
        "serving model answers each of them more than once, so that there is something to choose between.",
        "Prompts that begin with the same message form a family, and each family falls by a fixed hash into train (80 "
        "%), selection (10 %) or test (10 %). That never changes, so a question that decides whether a model is better "
        "is never one that the model learned from.",
        "Letters in the post box of a help desk.",
        "right",
    ),
    Explained(
        "responses",
        "Responses",
        "What the serving model answers.",
        "A worker lets the model that serves now write two or more answers to each prompt, with a little chance in the "
        "choice of words, so that they differ.",
        "Each response keeps the model version, temperature, length limit and random seed that made it: it can be "
        "traced and made again. The people who judge see none of this, only the letters A and B in a random order.",
        "Two trainees answer the same letter without seeing each other's draft.",
        "right",
    ),
    Explained(
        "tasks",
        "Tasks",
        "What annotators are asked: which answer is better?",
        "A prompt with its responses becomes a task and joins a queue. It stays open until as many different people "
        "have judged it as the project wants.",
        "A task is held by one person for ten minutes and renewed while it is on the desk. If the page is closed the "
        "place is free again. Priority and chance decide the order, and why a task was chosen is stored with it.",
        "The tray of drafts waiting for an editor.",
        "right",
    ),
    Explained(
        "annotations",
        "Annotations",
        "What people said.",
        "An annotator reads both answers and says which is better and by how much, or that they are the same, or both "
        "bad. This judgement is the only source of what “good” means here.",
        "Answers are added, never overwritten: a revision stands beside the first one, with the order in which the "
        "responses were shown, the seconds spent and the guidelines in force. Agreement between people on the same "
        "task tells how clear the question is.",
        "The editor's mark in the margin: this draft, clearly.",
        "right",
    ),
    Explained(
        "pairs",
        "Preference pairs",
        "Judgements in the form that training reads.",
        "From “A is clearly better than B” comes a pair: preferred, not preferred, how strongly. Enough new pairs, and "
        "the next round of training is worth its while.",
        "Pairs are written in the same database transaction as the answer they come from and closed when it is "
        "revised. Before training they are frozen into a snapshot, named by the hash of its rows: the same rows give "
        "the same name on any machine.",
        "The editor's marks, copied into a ledger.",
        "down",
    ),
    Explained(
        "sft",
        "Fine-tuning (SFT)",
        "The model learns to answer by imitating good answers.",
        "Supervised fine-tuning shows the model questions with answers that people wrote or accepted, and trains it to "
        "write those. It learns the manner: to answer rather than to ramble on.",
        "Only the tokens of the answer count in the loss (cross-entropy, in nats per token), not those of the "
        "question. The result is the start of PPO and also the fixed point that PPO is held near to.",
        "A trainee copies out the best letters of the archive.",
        "left",
    ),
    Explained(
        "reward",
        "Reward model",
        "A second model learns to predict what people prefer.",
        "People cannot judge millions of drafts, so a model learns from the pairs to give every answer a number: "
        "higher if people would prefer it. Its accuracy is how often it agrees with people on pairs it has not seen.",
        "The difference of two numbers, put through a logistic curve, is the probability that people prefer the first "
        "(the Bradley–Terry model). Since people do not always agree with each other there is a ceiling below 100 %, "
        "shown beside the accuracy.",
        "An apprentice who has watched the editor long enough to guess the verdict.",
        "left",
    ),
    Explained(
        "ppo",
        "PPO",
        "The model practises, and the reward model marks.",
        "The model writes answers, the reward model marks them, and the model shifts a little towards what was marked "
        "high: thousands of times. A price on straying keeps it from pleasing the marker with nonsense.",
        "Proximal policy optimisation clips how far one update may move, and subtracts a multiple of KL (the distance "
        "from the SFT model, in nats) from the reward. Watch reward and KL together: reward that rises while KL runs "
        "away is the model gaming its marker.",
        "Practising letters with a coach who allows small corrections only.",
        "left",
    ),
    Explained(
        "gate",
        "Gate",
        "Is the new model better? Only then may it serve.",
        "The candidate and the model that serves now both answer questions that neither has learned from, and the "
        "answers are compared. All that speaks against the candidate stands beside the button that promotes.",
        "Each condition has a name: too few prompts, a reward model no better than a coin, KL beyond its budget, "
        "answers that do not end, too little entropy, repetition. The reward model that the candidate was trained to "
        "please is no judge of it. An admin may override a finding with a reason, which stays visible.",
        "A trial match before the player joins the team.",
        "left",
    ),
    Explained(
        "serving",
        "Serving",
        "The model that answers now. Its answers are what people judge next.",
        "The promoted version takes over, its answers become the next tasks, and the ring begins again, one turn "
        "better. One click puts the version before it back.",
        "Serving versions are a list that only grows: since when, until when, promoted by whom. So every answer ever "
        "given can be traced to a model, its data and, through them, to the people who judged.",
        "The trainee who won sits at the counter tomorrow.",
        "up",
    ),
    Explained(
        "corpus",
        "Corpus",
        "The texts from which the very first model learns the language.",
        "Before a model can answer well it must know the language at all. The corpus is what it reads for that: "
        "documents with their source, kind and licence.",
        "Duplicates, exact and near, are left out when they come in, and so is what evaluation asks.",
        "The shelf of books a child grows up with.",
        "right",
    ),
    Explained(
        "tokenizer",
        "Tokenizer",
        "Cuts text into pieces that a model can count.",
        "Models work on numbers. The tokenizer learns from the corpus which pieces of text are common and gives each a "
        "number: frequent words one, rare words several.",
        "Byte-level byte-pair encoding: it begins with single bytes and merges the most frequent neighbours until the "
        "vocabulary is full. Nothing is unreadable to it, whatever the script.",
        "A typesetter's case: common syllables get a piece of type of their own.",
        "right",
    ),
    Explained(
        "pretrain",
        "Pretraining",
        "The model learns to continue any text of the corpus.",
        "It reads the corpus over and over and guesses each next piece. Nobody tells it what is good; it learns what "
        "is likely. This is the base from which fine-tuning starts.",
        "The figure is bits per byte on text it has not seen: how many yes/no questions it still needs for each next "
        "byte. Eight is no idea at all; lower is better.",
        "Learning a language by reading, before anyone says what a good answer is.",
        "up",
    ),
    Explained(
        "mlm",
        "Masked pretraining",
        "A reader learns the language by filling in hidden words.",
        "Beside the model that writes there are models that read. They begin with an encoder, which learns from texts "
        "with some words hidden: it has to guess them from both sides.",
        "15 % of the tokens are asked: most are masked, some replaced, some left, drawn anew at each visit. The figure "
        "is the share of hidden words it fills in on texts it has not seen.",
        "A cloze test, thousands of times.",
        "right",
    ),
    Explained(
        "classify",
        "Guard",
        "Sorts texts as people sorted them, and keeps out what should not come in.",
        "People give texts labels; a classifier learns to give the same. As the project's guard it reads prompts and "
        "responses before anybody sees them, and may be a term of the reward in PPO.",
        "A softmax over the classes (or one sigmoid each) on the encoder, with one temperature fitted so that its "
        "probabilities are honest. F1 counts both what it misses and what it accuses wrongly; beside it stands a plain "
        "method trained on the same rows, which it should beat.",
        "The doorman who was shown a hundred guests of either kind.",
        "right",
    ),
    Explained(
        "tag",
        "Marker",
        "Underlines what people underlined: names, places, dates.",
        "People mark stretches of text; a tagger learns to mark the same. Its marks stand on the desk beforehand, to "
        "be accepted, changed or cleared, and find personal data at intake.",
        "Every token is the beginning of a span, inside one, or outside; the likeliest sequence in which inside "
        "follows a beginning is read back as characters. A span counts only if start, end and label are all right.",
        "A colleague who read the file before you, pencil in hand.",
        "right",
    ),
)
