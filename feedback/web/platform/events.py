"""Events as sentences. Events hold ids only; the names are looked up here, a query for each kind of row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feedback.models import Chain, DatasetSnapshot, Event, ModelVersion, Person, Schedule
from feedback.selectors.training.stages import NAMES

SENTENCES: dict[str, str] = {
    "annotation.revised": "{who} revised an answer.",
    "annotation.withdrawn": "{who} took an answer back.",
    "annotation.reviewed": "{who} reviewed an answer: {decision}.",
    "assignment.flagged": "{who} flagged a task for a reviewer.",
    "concern.dismissed": "{who} looked at something and left it as it is.",
    "chain.started": "{who} started training: {what}.",
    "chain.succeeded": "Training ended well: {what}.",
    "chain.failed": "Training failed: {what}.",
    "chain.cancelled": "Training was cancelled: {what}.",
    "corpus.opened": "{who} opened a corpus.",
    "corpus.changed": "{who} changed a corpus.",
    "corpus.upload_requested": "{who} brought documents in.",
    "corpus.documents_removed": "{who} took documents out of a corpus.",
    "corpus.documents_restored": "{who} put documents back into a corpus.",
    "guidelines.published": "{who} published new guidelines.",
    "job.cancel_requested": "{who} asked for a job to be cancelled.",
    "job.retried": "{who} started a job again.",
    "member.set": "{who} made {what} {role} of the project.",
    "member.qualified": "{who} changed what {what} may do here.",
    "member.training_needed": "{who} let {what} start the training round over.",
    "member.training_passed": "{what} passed the training round.",
    "member.training_failed": "{what} did not pass the training round.",
    "member.training_waived": "{who} let {what} work without the training round.",
    "member.removed": "{who} took {what} out of the project.",
    "model.requested": "{who} asked for a {kind} from elsewhere.",
    "model.adopted": "{who} brought {what} from elsewhere.",
    "model.registered": "A new model version came out of training: {what}.",
    "model.promoted": "{who} promoted {what}.",
    "model.waits_for_decision": "{what} waits for an admin to decide; against it: {against}.",
    "model.rolled_back": "{who} went back to {what}.",
    "model.approved": "{who} approved {what}.",
    "model.rejected": "{who} rejected {what}.",
    "model.revoked": "{who} revoked {what}.",
    "person.created": "{who} made an account for {what}.",
    "project.opened": "{who} opened the project.",
    "project.changed": "{who} changed settings of the project.",
    "project.open": "{who} opened the project for work.",
    "project.paused": "{who} paused the project.",
    "project.closed": "{who} closed the project.",
    "project.screening_changed": "{who} changed what is let in: {parts}.",
    "project.passed_unscreened": "The guard was away: {count} texts passed unscreened.",
    "prompt.blocked": "The guard blocked a prompt: {by}.",
    "prompt.unblocked": "{who} let a blocked prompt on.",
    "response.blocked": "The guard blocked a response: {by}.",
    "response.unblocked": "{who} let a blocked response on.",
    "schedule.created": "{who} made the schedule {what}.",
    "schedule.deleted": "{who} deleted a schedule.",
    "schedule.enabled": "{who} switched the schedule {what} on.",
    "preflight.requested": "{who} looked at what training would meet.",
    "schedule.disabled": "{who} switched the schedule {what} off.",
    "import.requested": "{who} brought a file in.",
    "export.requested": "{who} asked for an export.",
    "snapshot.requested": "{who} asked for {what}.",
    "snapshot.frozen": "{what} was frozen.",
    "conversation.started": "{who} began to talk with the model.",
    "conversation.ended": "{who} ended a talk with the model.",
    "label.renamed": "{who} renamed the label {old} of {scheme} to {new}.",
    "dimension.renamed": "{who} renamed the dimension {old} to {new}.",
    "tasks.withdrawn": "{who} withdrew {tasks} open tasks that needed what was taken out of the settings.",
    "task.withdrawn": "{who} took a task out of the queue.",
    "task.changed": "{who} changed how many answers a task wants, or how soon.",
    "task.decided": "{who} decided about a task whose answers disagree.",
    "task.gold_marked": "{who} made a task a check.",
    "task.gold_unmarked": "{who} made a check an ordinary task again.",
    "task.reopened": "{who} put a task back into the queue.",
    "exclusion.made": "Annotations of an annotator stay out of snapshots from here on: see Quality.",
    "exclusion.lifted": "{who} took an excluded annotator's annotations back in.",
    "exclusion.tasks_reopened": "{who} reopened {tasks} tasks that an excluded annotator had filled.",
    "token.created": "{who} made an API token.",
    "token.revoked": "{who} revoked an API token.",
}
PAGES = {"ModelVersion": "model", "DatasetSnapshot": "snapshot"}  # rows with a page of their own, by its name


@dataclass(frozen=True)
class EventSentence:
    sentence: str
    at: datetime
    page: str = ""
    public_id: str = ""


def as_sentences(events: list[Event]) -> list[EventSentence]:
    """Sentences for `events`, in their order."""
    names = _names(events)
    return [_told(event, names) for event in events]


def _told(event: Event, names: dict[tuple[str, str], str]) -> EventSentence:
    what = names.get((event.object_type, event.object_id), "")
    words = {
        "who": str(event.actor) if event.actor else "The service",
        "what": what or _spaced(event.object_type),
        **{key: _spaced(value) for key, value in event.data.items()},
    }
    shape = SENTENCES.get(event.verb, "{who}: " + _spaced(event.verb.replace(".", " ")) + ".")
    try:
        sentence = shape.format_map(words)
    except KeyError:  # an older event that lacks a detail
        sentence = _spaced(event.verb.replace(".", " ")) + "."
    sentence = sentence[0].upper() + sentence[1:]
    return EventSentence(sentence, event.created_at, PAGES.get(event.object_type, "") if what else "", event.object_id)


def _names(events: list[Event]) -> dict[tuple[str, str], str]:
    ids: dict[str, set[str]] = {}
    for event in events:
        ids.setdefault(event.object_type, set()).add(event.object_id)
    found: dict[tuple[str, str], str] = {}
    for model, name in _NAMED.items():
        if wanted := ids.get(model.__name__):
            for row in model._default_manager.filter(public_id__in=wanted):
                found[(model.__name__, str(row.public_id))] = name(row)
    return found


_NAMED: dict[Any, Any] = {
    ModelVersion: str,
    Chain: lambda row: " → ".join(NAMES[stage] for stage in row.stages),
    DatasetSnapshot: lambda row: f"snapshot {row.number}",
    Person: str,
    Schedule: lambda row: f"“{row.name}”",
}


def _spaced(name: str) -> str:
    return str(name).replace("_", " ")
