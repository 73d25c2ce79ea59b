"""The stages of the pipeline, explained to someone who has never trained a language model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Explained:
    """One stage: what it is in a line, why it is there, how it works, and something everyday that is like it."""

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
        "Messages that models respond to.",
        "Prompts arrive over REST, from an import, or from a form. The serving model generates "
        "several responses to each prompt, so that annotators can compare them.",
        "Prompts with the same first message form a family. A fixed hash assigns each family to a "
        "split: train (80 %), selection for validation (10 %) or test (10 %). The split never "
        "changes, so models are never evaluated on prompts they were trained on.",
        "Letters in the post box of a help desk.",
        "right",
    ),
    Explained(
        "responses",
        "Responses",
        "Texts that the serving model generates.",
        "A worker samples two or more responses to each prompt from the serving model, with a "
        "temperature above 0, so that they differ.",
        "Each response records its model version, sampling settings and random seed, so that it can "
        "be traced and reproduced. Annotators see only the letters A and B in a random order.",
        "Two trainees answer the same letter without seeing each other's draft.",
        "right",
    ),
    Explained(
        "tasks",
        "Tasks",
        "Questions for annotators: which response is better?",
        "A prompt with its responses becomes a task. It stays open until the required number of "
        "annotators have annotated it.",
        "A task is assigned to one annotator for ten minutes, renewed while it is open at the desk. "
        "When the page is closed, the task becomes available again. Priority and a random order "
        "decide which task comes next; the reason is stored with the assignment.",
        "The tray of drafts waiting for an editor.",
        "right",
    ),
    Explained(
        "annotations",
        "Annotations",
        "Judgments by annotators.",
        "An annotator reads both responses and records which one is better and by how much, that both "
        "are about the same, or that both are bad. These judgments define what the models learn to "
        "prefer.",
        "Annotations are never overwritten: a revision is stored in addition. Each records the order "
        "in which the responses were shown, the time spent and the guidelines in force. Agreement on "
        "the same task measures how clear the question is.",
        "An editor's mark in the margin: this draft.",
        "right",
    ),
    Explained(
        "pairs",
        "Preference pairs",
        "Annotations in the form that training uses.",
        "“A is better than B” becomes a pair: chosen response, rejected response, strength. Enough "
        "new pairs make another training run worthwhile.",
        "Pairs are written in the same database transaction as their annotation and closed when it is "
        "revised. Before training they are frozen into a snapshot, identified by the hash of its "
        "rows: the same rows give the same hash on any machine.",
        "The editor's marks, copied into a ledger.",
        "down",
    ),
    Explained(
        "sft",
        "Fine-tuning (SFT)",
        "The model learns to respond by imitating demonstrations.",
        "Supervised fine-tuning trains the model on prompts with responses that people wrote or "
        "accepted. The model learns to follow instructions.",
        "Only response tokens count in the loss (cross-entropy, in nats per token). The result is the "
        "initial policy and the reference model of PPO.",
        "A trainee copies out the best letters of the archive.",
        "left",
    ),
    Explained(
        "reward",
        "Reward model",
        "A model learns to predict human preferences.",
        "A reward model learns from pairs to score any response: higher if people would prefer it. "
        "Its accuracy is the share of unseen pairs on which it agrees with annotators.",
        "The logistic function of the difference of two scores is the probability that people prefer "
        "the first response (Bradley–Terry model). Annotators disagree among themselves, so the "
        "accuracy has a ceiling below 100 %, shown next to it.",
        "An apprentice who has watched the editor long enough to guess the verdict.",
        "left",
    ),
    Explained(
        "ppo",
        "PPO",
        "The policy is optimized against the reward model.",
        "The policy samples responses, the reward model scores them, and small updates make "
        "high-scoring responses more likely. A KL penalty keeps the policy from exploiting the reward "
        "model.",
        "Proximal policy optimization clips the size of each update and subtracts a multiple of the "
        "KL divergence from the SFT model, in nats, from the reward. Watch reward and KL together: a "
        "reward that rises only with a fast-growing KL is a sign of reward hacking.",
        "Practicing letters with a coach who allows only small corrections.",
        "left",
    ),
    Explained(
        "gate",
        "Gate",
        "Compares a candidate with the serving model.",
        "The candidate and the serving model respond to prompts that neither was trained on, and the "
        "responses are compared. The model page lists all findings next to the Promote button.",
        "Findings include too few prompts, a reward model at chance level, KL over budget, a low EOS "
        "rate, low entropy and repetition. The reward model that the candidate was optimized against "
        "does not count as evidence. An admin can override a finding with a reason, which stays "
        "visible.",
        "A trial match before the player joins the team.",
        "left",
    ),
    Explained(
        "serving",
        "Serving",
        "The model that generates responses now.",
        "The promoted version generates all new responses, which become the next tasks. An admin can "
        "roll back to the previous version.",
        "The deployment history records when each version served and who promoted it. Every response "
        "can be traced to a model, its training data and its annotators.",
        "The trainee who passed works at the counter tomorrow.",
        "up",
    ),
    Explained(
        "corpus",
        "Corpus",
        "Texts for pretraining the base model.",
        "A base model learns the language from a corpus: documents with their source, kind and license.",
        "Exact and near duplicates are excluded on import, as are documents that contain held-out prompts.",
        "The shelf of books a child grows up with.",
        "right",
    ),
    Explained(
        "tokenizer",
        "Tokenizer",
        "Splits text into tokens.",
        "Models work on numbers. The tokenizer learns frequent pieces of text from the corpus and "
        "assigns each a number: frequent words become one token, rare words several.",
        "Byte-level byte-pair encoding: it starts from single bytes and merges the most frequent "
        "adjacent pairs until the vocabulary is full. It can encode text in any script.",
        "A typesetter's case: common syllables get a piece of type of their own.",
        "right",
    ),
    Explained(
        "pretrain",
        "Pretraining",
        "The base model learns to predict the next token.",
        "The model predicts each next token of the corpus. It learns the language without human "
        "labels and is the starting point of fine-tuning.",
        "The metric is bits per byte on held-out text: the average number of bits needed to encode "
        "each byte. Eight means no knowledge; lower is better.",
        "Learning a language by reading, before anyone says what a good answer is.",
        "up",
    ),
    Explained(
        "mlm",
        "Masked pretraining",
        "An encoder learns the language by predicting masked tokens.",
        "Classifiers and taggers start from an encoder. It learns to predict masked tokens from the "
        "context on both sides.",
        "15 % of the tokens are selected at random in each epoch: most are masked, some replaced, "
        "some unchanged. The metric is the share of masked tokens predicted correctly on held-out "
        "texts.",
        "A cloze test, thousands of times.",
        "right",
    ),
    Explained(
        "classify",
        "Guard model",
        "Assigns labels to texts and screens content.",
        "A classifier learns from the labels of annotators. As the guard model of the project, it "
        "screens prompts and responses before anyone sees them. It can also be a term of the reward "
        "in PPO.",
        "A softmax over the classes (or one sigmoid per class) on top of the encoder, with a fitted "
        "temperature for calibrated probabilities. F1 combines precision and recall. A simple "
        "baseline trained on the same rows is shown for comparison.",
        "A doorman who was shown a hundred guests of each kind.",
        "right",
    ),
    Explained(
        "tag",
        "Tagger",
        "Marks spans: names, places, dates.",
        "A tagger learns from the spans that annotators marked. It pre-annotates tasks for annotators "
        "to correct, and detects personal data on arrival.",
        "Each token is tagged as beginning, inside or outside of a span (BIO). The most likely valid "
        "sequence is decoded to characters. A predicted span is correct only if start, end and label "
        "all match.",
        "A colleague who read the file before you, pencil in hand.",
        "right",
    ),
)
