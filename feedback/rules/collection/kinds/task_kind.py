"""What the rest of the product asks of a task kind. Each kind is one `TaskKind`; `registry.KINDS` holds them all."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from feedback.rules.collection.kinds.form import Form
from feedback.rules.collection.kinds.question import Answer, LabelScheme, Payload, Question
from feedback.rules.collection.preferences import Preference
from feedback.rules.quality.agreement import Agreement

P = TypeVar("P", bound=Payload)
Matches = Callable[[Any, Any, int], bool]


class Judged(Protocol):
    """One standing answer: its payload, and `value`, which means the same for every annotator of the task."""

    @property
    def payload(self) -> Payload: ...

    @property
    def value(self) -> str: ...


class KindFigures(NamedTuple):
    """How far annotators agree on the tasks of one kind.

    Attributes:
        agreement: raw agreement and Krippendorff's alpha.
        tau: mean rank correlation of two annotators, for kinds that order responses.
        f1: mean F1 of two annotators, for kinds that mark a text.
    """

    agreement: Agreement
    tau: float | None = None
    f1: float | None = None


class Written(NamedTuple):
    """A text that an answer contains, and public ids of the responses that it is preferred to."""

    text: str
    preferred_to: Sequence[str]


class LabeledText(NamedTuple):
    """The labels that an annotation uses, and the fields that it adds to a training row."""

    used: list[str]
    fields: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TaskKind(Generic[P]):
    """One kind of task. Only what differs from the defaults needs to be given.

    Attributes:
        name: as the API, files and the database spell it.
        label: for headings and choices.
        summary: what the kind is, for the project's settings.
        instruction: what an annotator does, as a clause without its subject.
        question: what the desk asks above a task; a label scheme may have its own.
        fewest_responses, most_responses: how many responses a task shows. None at all: it is about the prompt.
        resolve: checks an answer in letters and returns the payload to store; raises `InvalidAnswer`.
        unresolve: the answer in letters that a payload came from.
        read_form: the answer that a plain form brings, for browsers without script.
        describe: a payload in one line, with the letter of each response by its public id.
        preferences: the preference pairs that one answer becomes by itself.
        written: the text that an answer contributes as a new response, or None.
        category: the value of a payload that names no response, for nominal agreement.
        majority: what more than half of the answers state, or None.
        disagree: whether answers differ in what matters.
        measure_agreement: agreement over tasks, each a sequence of standing answers.
        gold_fields: the payload fields that a right answer fixes, each with its comparison. Empty: no gold tasks.
        most_tolerance: how far a gold answer's tolerance may go; 0: it has none.
        find_indistinct: a sentence where the responses leave nothing to judge, or an empty string.
        count_compared: how many responses one answer orders; its pairs together weigh as one comparison.
        training_texts: what the trainer learns from, in words, for kinds with a label scheme.
        label_text: labels of a text as the trainer reads them, or None where the scheme no longer allows the answer.
            Kinds without it have no label scheme.
        answers_with_text: every answer is the text of a response, under `text`.
        orders_responses: an answer orders all responses shown.
        is_pairwise: an answer prefers one of two responses, or neither.
        judges_responses: answers say which responses are better; evaluation traces reward models to them.
        reads_one_text: one text is read and labeled, so a fast answer is plausible sooner than for several.
        rates_dimensions: an answer needs every dimension of the project.
        marks_text: an answer names character offsets; a tagger may suggest spans, and masking would displace them.
        has_own_page: it is answered and revised within its own page, not in the list of one's annotations.
    """

    name: str
    label: str
    summary: str
    instruction: str
    question: str
    fewest_responses: int
    most_responses: int
    resolve: Callable[[Answer, Question], P]
    unresolve: Callable[[P, list[str]], Answer]
    read_form: Callable[[Form, str], Answer]
    describe: Callable[[P, Mapping[str, str]], str]
    preferences: Callable[[P], list[Preference]] = lambda payload: []
    written: Callable[[P, Sequence[str]], Written | None] | None = None
    category: Callable[[P], str] = lambda payload: str(payload.get("outcome") or "")
    majority: Callable[[Sequence[P]], P | None] = lambda payloads: None
    disagree: Callable[[Sequence[P]], bool] = lambda payloads: False
    measure_agreement: Callable[[Sequence[Sequence[Judged]]], KindFigures]
    gold_fields: Mapping[str, Matches] = field(default_factory=dict)
    most_tolerance: int = 0
    find_indistinct: Callable[[Sequence[str]], str] = lambda texts: ""
    count_compared: Callable[[P], int] = lambda payload: 2
    training_texts: str = ""
    label_text: Callable[[P, str, LabelScheme], LabeledText | None] | None = None
    answers_with_text: bool = False
    orders_responses: bool = False
    is_pairwise: bool = False
    judges_responses: bool = False
    reads_one_text: bool = False
    rates_dimensions: bool = False
    marks_text: bool = False
    has_own_page: bool = False

    @property
    def uses_scheme(self) -> bool:
        """Whether a task names a label scheme of the project."""
        return self.label_text is not None

    @property
    def uses_names(self) -> bool:
        """Whether answers consist of names that a project may rename: labels or dimensions."""
        return self.uses_scheme or self.rates_dimensions

    @property
    def takes_gold(self) -> bool:
        """Whether there can be one right answer."""
        return bool(self.gold_fields)

    @property
    def responses_wanted(self) -> str:
        """How many responses a task shows, in words."""
        if self.fewest_responses == self.most_responses:
            return str(self.most_responses)
        return f"{self.fewest_responses} to {self.most_responses}"
