"""Events as sentences. Events hold ids only, so the names are read here, with one query per model."""

from dataclasses import dataclass
from datetime import datetime

from feedback.models import Campaign, Chain, Contest, DatasetSnapshot, Event, ModelVersion, Person, Schedule
from feedback.selectors.training.stages import NAMES

SENTENCES: dict[str, str] = {
    "active_selection.changed": "{who} changed active selection.",
    "active_selection.on": "{who} switched active selection on.",
    "active_selection.off": "{who} switched active selection off.",
    "active_selection.set_back": "Active selection was switched off: {because}.",
    "active_selection.replay_requested": "{who} ran a replay of active selection.",
    "active_selection.replayed": "A replay of active selection ended.",
    "active_selection.chose": "The reward model selected {tasks} tasks.",
    "run.looks_requested": "{who} had the saved responses of a run scored by other reward models.",
    "annotation.revised": "{who} revised an annotation.",
    "annotation.withdrawn": "{who} withdrew an annotation.",
    "annotation.reviewed": "{who} reviewed an annotation: {decision}.",
    "assignment.flagged": "{who} flagged a task for review.",
    "concern.dismissed": "{who} dismissed a review.",
    "campaign.budget_changed": "{who} changed the budget of the campaign {what} to {budget} labels.",
    "campaign.created": "{who} created the campaign {what}.",
    "campaign.ended": "The campaign {what} ended.",
    "campaign.paused": "{who} paused the campaign {what}.",
    "campaign.resumed": "{who} resumed the campaign {what}.",
    "campaign.round_ended": "Round {number} of the campaign {what} ended: {outcome}.",
    "campaign.round_started": "Round {number} of the campaign {what} began.",
    "chain.started": "{who} started training: {what}.",
    "chain.succeeded": "Training succeeded: {what}.",
    "chain.failed": "Training failed: {what}.",
    "chain.cancelled": "Training was canceled: {what}.",
    "corpus.opened": "{who} created a corpus.",
    "contest.opened": "{who} opened a comparison of {candidates} with {incumbent} by people.",
    "contest.paused": "{who} paused the comparison of models.",
    "contest.resumed": "{who} resumed the comparison of models.",
    "contest.decided": "People's votes decided a comparison of models: {decision}.",
    "contest.stopped": "A comparison of models ended without a decision: {decision}.",
    "corpus.changed": "{who} changed a corpus.",
    "corpus.upload_requested": "{who} added documents.",
    "corpus.documents_removed": "{who} removed documents from a corpus.",
    "corpus.documents_restored": "{who} restored documents of a corpus.",
    "guidelines.published": "{who} published new guidelines.",
    "job.cancel_requested": "{who} canceled a job.",
    "job.retried": "{who} retried a job.",
    "member.set": "{who} gave {what} the role {role}.",
    "member.qualified": "{who} changed the qualifications of {what}.",
    "member.training_needed": "{who} restarted the qualification round of {what}.",
    "member.training_passed": "{what} passed the qualification round.",
    "member.training_failed": "{what} failed the qualification round.",
    "member.training_waived": "{who} waived the qualification round of {what}.",
    "member.removed": "{who} removed {what} from the project.",
    "model.requested": "{who} requested the import of an external {kind}.",
    "model.adopted": "{who} imported {what}.",
    "model.registered": "Training produced a new model version: {what}.",
    "model.promoted": "{who} promoted {what}.",
    "model.waits_for_decision": "{what} needs an admin's decision; blocking findings: {against}.",
    "model.rolled_back": "{who} rolled back to {what}.",
    "model.approved": "{who} approved {what}.",
    "model.rejected": "{who} rejected {what}.",
    "model.safety_test_started": "{who} started the safety test of {what} beside {incumbent}.",
    "model.safety_tested": "The safety test of {what} ended after {prompts} prompts: {outcome}.",
    "import.prepared": "{who} uploaded a table to import.",
    "import.discarded": "{who} discarded a table that was not imported.",
    "tasks.created": "{who} created {tasks} tasks.",
    "model.drift_found": "Labels drifted from {what} after {labels} labels: see its live accuracy.",
    "model.annotator_drift_found": "Labels of one annotator drifted from {what}: see its live accuracy.",
    "model.revoked": "{who} revoked {what}.",
    "person.created": "{who} created an account for {what}.",
    "person.changed": "{who} changed the name or e-mail address of {what}.",
    "person.invited": "{who} invited {what}.",
    "person.password_set": "{what} set a password.",
    "person.reinstated": "{who} reinstated {what}.",
    "person.signed_out": "{who} signed {what} out everywhere.",
    "person.suspended": "{who} suspended {what}.",
    "invitation.created": "{who} created an invitation for {what}.",
    "invitation.used": "{what} accepted the invitation.",
    "reset.created": "{who} created a password link for {what}.",
    "reset.used": "{what} used a password link.",
    "sign_in.succeeded": "{what} signed in.",
    "sign_in.failed": "Somebody gave a wrong password for {what}.",
    "project.opened": "{who} created the project.",
    "project.changed": "{who} changed the project settings.",
    "project.open": "{who} opened the project.",
    "project.paused": "{who} paused the project.",
    "project.closed": "{who} closed the project.",
    "project.screening_changed": "{who} changed content screening: {parts}.",
    "project.passed_unscreened": "The guard model was unavailable: {count} texts passed unscreened.",
    "prompt.blocked": "The guard model blocked a prompt: {by}.",
    "prompt.unblocked": "{who} unblocked a prompt.",
    "response.blocked": "The guard model blocked a response: {by}.",
    "response.unblocked": "{who} unblocked a response.",
    "schedule.created": "{who} created the schedule {what}.",
    "schedule.deleted": "{who} deleted a schedule.",
    "schedule.enabled": "{who} enabled the schedule {what}.",
    "preflight.requested": "{who} ran a preflight check.",
    "schedule.disabled": "{who} disabled the schedule {what}.",
    "import.requested": "{who} imported a file.",
    "export.requested": "{who} requested an export.",
    "snapshot.requested": "{who} requested {what}.",
    "snapshot.labels_unscored": "{what} was frozen with {count} labels that no reward model has scored.",
    "snapshot.frozen": "{what} was frozen.",
    "conversation.started": "{who} started a conversation with the model.",
    "battle.started": "{who} started a battle of two versions.",
    "conversation.ended": "{who} ended a conversation with the model.",
    "label.renamed": "{who} renamed the label {old} of {scheme} to {new}.",
    "dimension.renamed": "{who} renamed the dimension {old} to {new}.",
    "tasks.withdrawn": "{who} withdrew {tasks} open tasks after a settings change.",
    "task.withdrawn": "{who} withdrew a task.",
    "task.changed": "{who} changed the number of annotations or the priority of a task.",
    "task.decided": "{who} decided a task with disagreeing annotations.",
    "task.gold_marked": "{who} made a task a gold task.",
    "task.gold_unmarked": "{who} removed a gold answer.",
    "task.reopened": "{who} reopened a task.",
    "exclusion.made": "An annotator was excluded from snapshots: see Quality.",
    "exclusion.lifted": "{who} lifted the exclusion of an annotator.",
    "exclusion.tasks_reopened": "{who} reopened {tasks} tasks of an excluded annotator.",
    "token.created": "{who} created an API token.",
    "token.revoked": "{who} revoked an API token.",
}
PAGES = {
    "ModelVersion": "model",
    "DatasetSnapshot": "snapshot",
    "Campaign": "campaign",
    "Contest": "contest",
}  # name of the model -> name of its page


@dataclass(frozen=True)
class EventSentence:
    sentence: str
    at: datetime
    page: str = ""
    public_id: str = ""


def as_sentences(events: list[Event]) -> list[EventSentence]:
    """Sentences for `events`, in their order."""
    names = _names(events)
    return [_sentence(event, names) for event in events]


def _sentence(event: Event, names: dict[tuple[str, str], str]) -> EventSentence:
    what = names.get((event.object_type, event.object_id), "")
    verb = _spaced(event.verb.replace(".", " "))
    words = {"who": str(event.actor or "The service"), "what": what or _spaced(event.object_type)}
    for key, value in event.data.items():
        words[key] = _spaced(value)
    try:
        sentence = SENTENCES.get(event.verb, f"{{who}}: {verb}.").format_map(words)
    except KeyError:  # an older event that lacks a detail
        sentence = f"{verb}."
    page = ""
    if what:  # the row still exists
        page = PAGES.get(event.object_type, "")
    return EventSentence(sentence[0].upper() + sentence[1:], event.created_at, page, event.object_id)


def _names(events: list[Event]) -> dict[tuple[str, str], str]:
    """(model, public id) -> the name of the row, with one query per model."""
    ids: dict[str, set[str]] = {}
    for event in events:
        ids.setdefault(event.object_type, set()).add(event.object_id)
    found: dict[tuple[str, str], str] = {}
    for model in (ModelVersion, Campaign, Chain, Contest, DatasetSnapshot, Person, Schedule):
        if wanted := ids.get(model.__name__):
            for row in model._default_manager.filter(public_id__in=wanted):
                found[(model.__name__, str(row.public_id))] = _name_of(row)
    return found


def _name_of(row: ModelVersion | Campaign | Chain | Contest | DatasetSnapshot | Person | Schedule) -> str:
    if isinstance(row, Contest):
        return "comparison of models"
    if isinstance(row, Chain):
        return " → ".join(NAMES[stage] for stage in row.stages)
    if isinstance(row, DatasetSnapshot):
        return f"snapshot {row.number}"
    if isinstance(row, Campaign | Schedule):
        return f"“{row.name}”"
    return str(row)


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")
