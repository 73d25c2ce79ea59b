"""A project's prompts as items with all that belongs to them, oldest first. Constant memory, short reads.

Whatever has no place in an item comes out as `LeftOut`, so that a row of the project is in the file or in its counts.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from operator import attrgetter, itemgetter

from feedback.formats.annotations.items import (
    LETTERS,
    PROMPT,
    AnnotationItem,
    Candidate,
    Decision,
    Item,
    LeftOut,
    Opinion,
    Who,
    parts,
)
from feedback.formats.annotations.touchstone_parts import STATES
from feedback.models import Project
from feedback.rules.collection import payloads
from feedback.rules.collection.kinds.registry import WRITING
from feedback.rules.collection.payloads import Answer, Payload
from feedback.rules.data.splits import earlier_family_of, family_of, first_user_message
from feedback.selectors.data import export_reads as reads
from feedback.selectors.data.export_reads import PromptRow, ThumbRow, among, dashed, decoded, moment

CHUNK = 500
HASHED = "sha256:"
UNKNOWN = " (unknown)"


@dataclass(slots=True)
class Written:
    """A response as it is stored."""

    key: int
    name: str
    text: str
    state: str
    model: str
    version: int | None
    author: int | None
    annotation: int | None
    external_id: str | None


@dataclass(slots=True)
class TaskRead:
    """A task being put together: its item, the keys of its responses, and of the annotations that became answers."""

    item: Item
    key: int
    wanted: int | None
    responses: list[int] = field(default_factory=list)
    annotations: list[int] = field(default_factory=list)


def items(project: Project, kinds: list[str] | None = None) -> Iterator[Item | LeftOut]:
    """Prompts with their responses, tasks, answers, thumbs and verdicts, in the order in which they came.

    Args:
        kinds: only tasks of these kinds, thumbs, or prompts; each by itself.
    """
    reading, after = _Reading(project), 0
    while found := reads.fetch(reads.PROMPTS, project.pk, after, CHUNK):
        rows = list(map(PromptRow._make, found))
        after = rows[-1].key
        for one in reading.chunk(rows):
            if not kinds:
                yield one
            elif isinstance(one, Item):
                yield from _parts_of(one, kinds)
    if not kinds:
        for why, count in reads.beside(project.pk).items():
            yield from repeat(LeftOut(why), count)


def _parts_of(item: Item, kinds: Sequence[str]) -> Iterator[Item]:
    for part in parts(item):
        if isinstance(part, Item) and part.kind in kinds:
            yield part


class _Reading:
    """State that is kept from one chunk of prompts to the next."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.people, self.versions = reads.People(), reads.Versions()
        self.edited = set(chain.from_iterable(reads.fetch(reads.EDITED, project.pk)))  # rows of one column
        self.left: list[LeftOut] = []

    def chunk(self, rows: list[PromptRow]) -> Iterator[Item | LeftOut]:
        prompts = {row.key: self._prompt(row) for row in rows}
        responses = self._responses(prompts)
        tasks = self._tasks(prompts)
        thumbs = self._thumbs(prompts)
        names = {response.key: dashed(response.name) for response in chain.from_iterable(responses.values())}
        by_key = {task_read.key: task_read for task_read in chain.from_iterable(tasks.values())}
        self._answers(by_key, names)
        for key, item in prompts.items():
            self._put_together(item, responses[key], tasks[key], thumbs[key])
            yield item
            yield from self.left
            self.left.clear()

    def _prompt(self, row: PromptRow) -> Item:
        item = Item(PROMPT, decoded(row.messages), external_id=_external_id(row.external_id), source=row.source)
        item.metadata, item.provenance = decoded(row.metadata), decoded(row.provenance)
        item.split, item.group, item.responses_wanted = row.split, row.group, row.responses_wanted
        if row.external_id is None:  # two prompts may have the same text
            item.id = dashed(row.public_id)
        family = row.family
        if family in self.edited and family != family_of(self.project.split_salt, item.prompt):
            item.family = self._opening(family, item.prompt)
        return item

    def _opening(self, family: str, messages: list[dict[str, str]]) -> str:
        """The first message of a prompt's family, if it differs from the prompt's own: the prompt is an edit of it."""
        salt = self.project.split_salt
        if family == earlier_family_of(salt, messages):
            return ""
        for (found,) in reads.fetch(reads.OPENINGS, self.project.pk, family, family):
            first = decoded(found)
            if family in (family_of(salt, first), earlier_family_of(salt, first)):
                return first_user_message(first)
        return ""

    def _responses(self, prompts: dict[int, Item]) -> dict[int, list[Written]]:
        found: dict[int, list[Written]] = {key: [] for key in prompts}
        authors, versions = set(), set()
        for prompt, *columns in among(reads.RESPONSES, "prompt_id", prompts):
            response = Written(*columns)
            found[prompt].append(response)
            authors.add(response.author)
            versions.add(response.version)
        self.people.meet(authors)
        self.versions.meet(versions)
        return found

    def _tasks(self, prompts: dict[int, Item]) -> dict[int, list[TaskRead]]:
        found: dict[int, list[TaskRead]] = {key: [] for key in prompts}
        by_key: dict[int, TaskRead] = {}
        for row in map(reads.TaskRow._make, among(reads.TASKS, "prompt_id", prompts)):
            gold, wanted = decoded(row.gold), row.annotations_wanted
            item = Item(row.kind, prompts[row.prompt].prompt, gold=gold, explanation=row.explanation)
            item.ask, item.priority, item.training_round = decoded(row.ask), row.priority, bool(row.training_round)
            item.external_id = _external_id(row.external_id)
            if row.state in STATES:
                item.state = row.state
            if row.gold is not None:
                wanted = None
            elif row.state != "settled":
                item.wanted = wanted
            by_key[row.key] = TaskRead(item, row.key, wanted)
            found[row.prompt].append(by_key[row.key])
        for key, response in among(reads.PLACED, "task_id", by_key):
            by_key[key].responses.append(response)
        return found

    def _thumbs(self, prompts: dict[int, Item]) -> dict[int, list[tuple[int, Opinion]]]:
        """Thumbs by prompt: of each client the last on a response, which is the one that counts."""
        rows = list(map(ThumbRow._make, among(reads.THUMBS, "response.prompt_id", prompts)))
        self.people.meet(map(attrgetter("person"), rows))
        last: dict[tuple[int, int, int | None], ThumbRow] = {}
        for row in rows:
            client = (row.response, row.person, row.token)
            if last.pop(client, None) is not None:
                self.left.append(LeftOut("an earlier thumb of the same client"))
            last[client] = row
        clients: dict[tuple[int, int], int] = defaultdict(int)
        found: dict[int, list[tuple[int, Opinion]]] = {key: [] for key in prompts}
        for row in last.values():
            who = self.people[row.person]
            if who is None:
                self.left.append(LeftOut("a thumb of an erased person"))
                continue
            clients[row.response, row.person] += 1
            if (number := clients[row.response, row.person]) > 1:  # with another token: both count
                who = Who(f"{who.name} ({number})", who.source)
            opinion = Opinion(0, who, bool(row.up), row.comment, moment(row.created_at))
            found[row.prompt].append((row.response, opinion))
        return found

    def _put_together(
        self, item: Item, written: list[Written], tasks: list[TaskRead], thumbs: list[tuple[int, Opinion]]
    ) -> None:
        """Fill `item`: flat where its one task shows all its responses, else with tasks that name theirs by place."""
        by_annotation: dict[int, tuple[int, int]] = {}
        used = set(map(itemgetter(0), thumbs))
        for place, task_read in enumerate(tasks):
            used.update(task_read.responses)
            if task_read.item.kind in WRITING:
                for number, key in enumerate(task_read.annotations):
                    by_annotation[key] = (place, number)
        place_of: dict[int, int] = {}  # by key, in the order of the item
        for one in written:
            if self._is_kept(one, one.key in used, by_annotation):
                place_of[one.key] = len(place_of)
                item.responses.append(self._candidate(one, item.source, by_annotation))
        for response, thumb in thumbs:
            thumb.response = place_of[response]
            item.thumbs.append(thumb)
        is_flat = len(tasks) == 1 and tasks[0].responses == list(place_of)
        if is_flat and not any(map(attrgetter("answer_of"), item.responses)):
            _merge(item, tasks[0].item)
        else:
            for task_read in tasks:
                task_read.item.placed = [place_of[response] for response in task_read.responses]
                item.tasks.append(task_read.item)

    def _answers(self, tasks: dict[int, TaskRead], names: dict[int, str]) -> None:
        """Current answers, gold and verdicts of tasks by key, in letters of each task's own order."""
        rows = list(map(reads.AnswerRow._make, among(reads.ANSWERS, "held.task_id", tasks)))
        decided = list(map(reads.VerdictRow._make, among(reads.VERDICTS, "task_id", tasks)))
        self.people.meet(chain.from_iterable(map(attrgetter("annotator", "holder"), rows)))
        self.people.meet(map(attrgetter("reviewer"), decided))
        placed: dict[int, list[str]] = {}
        for key, task_read in tasks.items():
            placed[key] = [names[response] for response in task_read.responses]
        for row in rows:
            task_read, order = tasks[row.task], placed[row.task]
            who, by = self.people[row.holder], self.people[row.annotator]
            if who is None or by is None:
                self.left.append(LeftOut("an annotation of an erased person"))
                continue
            letters = [LETTERS[order.index(name)] for name in decoded(row.shown) if name in order]
            answer = self._in_letters(task_read.item.kind, row.payload, order)
            annotation = AnnotationItem(who.name, answer, letters, row.seconds, who.source)
            annotation.late, annotation.at = bool(row.late), moment(row.created_at)
            annotation.counted = bool(row.counted) or task_read.wanted is None
            if row.blind is not None:
                annotation.blind = bool(row.blind)
            if row.annotator != row.holder:
                annotation.corrected_by = by
            task_read.item.answers.append(annotation)
            task_read.annotations.append(row.annotation)
        for verdict in decided:
            item, who = tasks[verdict.task].item, self.people[verdict.reviewer]
            if who is None:
                self.left.append(LeftOut("a reviewer decision of an erased person"))
                continue
            answer = self._in_letters(item.kind, verdict.payload, placed[verdict.task])
            item.verdict = Decision(who, answer, verdict.note, moment(verdict.created_at))
        for key, task_read in tasks.items():
            item = task_read.item
            if item.gold is not None:
                item.gold = _gold(item.kind, self.project.names.read(item.gold), placed[key])
            if item.wanted is None and task_read.wanted != sum(map(attrgetter("counted"), item.answers)):
                item.wanted = task_read.wanted

    def _in_letters(self, kind: str, payload: str, order: list[str]) -> Answer:
        """A stored payload as an answer: in letters for `order`, under the present names of labels and dimensions."""
        return _trimmed(payloads.unresolve(kind, self.project.names.read(decoded(payload)), order))

    def _is_kept(self, one: Written, is_used: bool, by_annotation: dict[int, tuple[int, int]]) -> bool:
        """Whether a response is exported with the item. What an annotation wrote is exported only if a task uses it."""
        if is_used:
            return True
        if one.annotation is not None:
            if one.annotation not in by_annotation:
                self.left.append(LeftOut("a response of a revised or withdrawn annotation"))
            return False
        if one.state != "ready":
            self.left.append(LeftOut(f"a response that is {one.state}"))
            return False
        if one.author is not None and self.people[one.author] is None:
            self.left.append(LeftOut("a response of an erased person"))
            return False
        return True

    def _candidate(self, one: Written, source: str, by_annotation: dict[int, tuple[int, int]]) -> Candidate:
        model = one.model
        if not model and one.version:
            model = self.versions.names[one.version]
        if model == f"{source or 'import'}{UNKNOWN}":
            model = ""
        made = Candidate(one.text, model)
        made.blocked, made.external_id = one.state == "blocked", one.external_id
        if one.annotation is not None:
            made.answer_of = by_annotation.get(one.annotation)
        elif one.author is not None:
            made.author = self.people[one.author]
        return made


def _merge(item: Item, task: Item) -> None:
    """Write the fields of a prompt's only task into the prompt's item."""
    if task.external_id != item.external_id:
        item.prompt_id = item.external_id or ""
    item.kind, item.answers, item.gold, item.ask = task.kind, task.answers, task.gold, task.ask
    item.explanation, item.training_round, item.priority = task.explanation, task.training_round, task.priority
    item.external_id, item.wanted, item.state, item.verdict = task.external_id, task.wanted, task.state, task.verdict


def _external_id(external_id: str | None) -> str | None:
    """The external id, or None where it is a hash that an import made up."""
    if external_id is None or external_id.startswith(HASHED):
        return None
    return external_id


def _trimmed(answer: Answer) -> Answer:
    return {name: value for name, value in answer.items() if value not in ("", {})}


def _gold(kind: str, gold: Payload, names: list[str]) -> Answer:
    """The right answer in letters, with its tolerance if it has one."""
    letters = _trimmed(payloads.unresolve(kind, gold, names))
    if gold.get("tolerance"):
        letters["tolerance"] = gold["tolerance"]
    return letters
