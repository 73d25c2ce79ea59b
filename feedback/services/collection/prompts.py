"""Prompts come in, and responses written elsewhere."""

from typing import Any, TypeVar

from django.db import IntegrityError, transaction
from django.db.models import F, Q, QuerySet

from feedback.errors import ExternalIdConflict, Forbidden, Invalid
from feedback.models import Conversation, ModelVersion, Person, Project, Prompt, Response
from feedback.rules.collection import messages as message_rules
from feedback.rules.data.content_hash import body_hash
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection.blindness import is_annotator_only
from feedback.services.collection import generation
from feedback.services.data import splits
from feedback.services.platform.closed_projects import refuse_when_closed
from feedback.services.screening import arrivals

R = TypeVar("R", Prompt, Response)
Rows = TypeVar("Rows", bound="QuerySet[Any, Any]")

MAX_RESPONSES = 16
MOST_GROUP = 200


def submit_prompt(
    *,
    project: Project,
    by: Person | None,
    messages: list[dict[str, str]],
    source: str = "",
    external_id: str | None = None,
    metadata: JsonObject | None = None,
    responses_wanted: int | None = None,
    group: str = "",
    turn_of: Conversation | None = None,
    follows: Prompt | None = None,
) -> tuple[Prompt, bool]:
    """Store a prompt, screen it, and ask the serving model for its responses.

    Args:
        group: the document, conversation or customer that it is from; rows of one group lie in one split.
        turn_of, follows: the conversation that it is a turn of, and the turn before it, whose split it inherits.

    Returns:
        The prompt, and whether it is new (False: the same external_id and body came before).

    Raises:
        Invalid: a message is wrong; the field says which.
        ExternalIdConflict: the external_id exists with another body.
        ProjectClosed: the project takes nothing any more.
    """
    try:
        messages = message_rules.checked(messages)
    except message_rules.InvalidMessages as error:
        raise Invalid(error.sentence, field=error.field) from None
    wanted = 0 if responses_wanted is None else responses_wanted
    if not 0 <= wanted <= MAX_RESPONSES:
        raise Invalid(f"Request 0 to {MAX_RESPONSES} responses.", field="responses_wanted")
    refuse_when_closed(project, "prompts")
    arrival = arrivals.arrive(project, messages)
    check_group(group)
    digest = body_hash([messages, source, metadata or {}, wanted, *([group] if group else [])])
    owner = external_owner(project, by) if external_id is not None else None
    known = _numbered(project.prompts.all(), external_id, owner, by, "created_by")
    if before := _same(known, digest):
        return before, False
    try:
        with transaction.atomic():
            prompt = Prompt.objects.create(
                **_columns(project, arrival.messages, group, follows),
                **_turn(turn_of, follows),
                source=source,
                external_id=external_id,
                external_owner=owner,
                body_hash=digest,
                metadata=metadata or {},
                responses_wanted=wanted,
                created_by=by,
                screening=arrival.screening,
                state=arrival.state or (Prompt.State.SCREENED if wanted else Prompt.State.READY),
            )
            if arrival.state == Prompt.State.RECEIVED:
                arrivals.ask_worker(project)
            elif arrival.state is None and wanted:
                generation.request_responses(prompt=prompt, count=wanted, by=by)
    except IntegrityError:
        if before := _same(known, digest):
            return before, False
        raise
    return prompt, True


def external_owner(project: Project, by: Person | None) -> Person | None:
    """Whose numbering external ids are from that `by` sends: an annotator's own, or the project's (None).

    Were they the project's for everybody, an annotator could ask which of them exist, and what stands under them.
    """
    return by if by is not None and is_annotator_only(project, by) else None


def _numbered(rows: Rows, external_id: str | None, owner: Person | None, by: Person | None, creator: str) -> Rows:
    """The row of that external id that `by` may be reported of, if there is one. `creator` leads to who made it."""
    if external_id is None:
        return rows.none()
    if owner is None:  # the project's; perhaps one's own, from before one was more than an annotator
        visible = Q(external_owner=None) | Q(external_owner=by, external_owner__isnull=False)
    else:  # one's own; perhaps the project's, from before annotators had their own
        visible = Q(external_owner=owner) | Q(external_owner=None, **{creator: owner})
    return rows.filter(visible, external_id=external_id).order_by(F("external_owner").asc(nulls_last=True))


def want_more(*, prompt: Prompt, by: Person | None, count: int) -> list[Response]:
    """Request more responses from the serving model to a prompt; they meet in tasks when all are there.

    Raises:
        Invalid: more than MAX_RESPONSES at once.
        ProjectClosed: the project takes nothing any more.
        NoServingModel: nothing serves the project.
    """
    if not 1 <= count <= MAX_RESPONSES:
        raise Invalid(f"Request 1 to {MAX_RESPONSES} responses.", field="count")
    refuse_when_closed(prompt.project, "responses")
    with transaction.atomic():
        Prompt.objects.filter(pk=prompt.pk, state=Prompt.State.READY).update(state=Prompt.State.SCREENED)
        return generation.request_responses(prompt=prompt, count=count, by=by)


def check_group(group: str) -> None:
    """Raises Invalid unless it can be kept as a group."""
    if len(group) > MOST_GROUP or "\x00" in group:
        raise Invalid(f"A group is text of at most {MOST_GROUP} characters.", field="group")


def new_prompt(*, project: Project, messages: list[dict[str, str]], group: str = "", **columns: Any) -> Prompt:
    """An unsaved prompt with its family and split. `messages` are checked. Call in a transaction, and save it there."""
    return Prompt(
        **_columns(project, messages, group), **{"state": Prompt.State.READY, "screening": {"guard": None}} | columns
    )


def add_response(
    *,
    prompt: Prompt,
    by: Person | None,
    text: str,
    author: Person | None = None,
    model_version: ModelVersion | None = None,
    model_name: str = "",
    external_id: str | None = None,
) -> tuple[Response, bool]:
    """A response written elsewhere: by a person, a version of the registry, or a model known by name only.

    Returns:
        The response, and whether it is new.

    Raises:
        Invalid: several authors are named, the version is another project's, or the text cannot be stored.
        Forbidden: an annotator says that somebody or something else wrote it.
        ExternalIdConflict: the external_id exists with another body.
        ProjectClosed: the project takes nothing any more.
    """
    refuse_when_closed(prompt.project, "responses")
    if sum(map(bool, (author, model_version, model_name))) > 1:
        raise Invalid("Name one author: a person, a model version or a model's name.", field="author")
    if model_version is not None and model_version.project_id != prompt.project_id:
        raise Invalid("That model version belongs to another project.", field="model_version")
    if "\x00" in text:
        raise Invalid("It contains a NUL character, which cannot be stored.", field="text")
    owner = external_owner(prompt.project, by)
    if owner is not None and (model_name or model_version or author not in (None, owner)):
        raise Forbidden("Annotators can submit only their own responses. Omit the author, or ask a reviewer.")
    digest = body_hash([str(prompt.public_id), text, model_name, str(model_version and model_version.public_id)])
    columns = {
        "project_id": prompt.project_id,
        "prompt": prompt,
        "text": text,
        "author": author if (author or model_version or model_name) else by,
        "model_version": model_version,
        "model_name": model_name,
        "external_id": external_id,
        "external_owner": owner if external_id is not None else None,
        "body_hash": digest,
    }
    known = _numbered(prompt.project.responses.all(), external_id, owner, by, "prompt__created_by")
    if before := _same(known, digest):
        return before, False
    try:
        with transaction.atomic():
            return _stored(prompt.project, columns), True
    except IntegrityError:
        if before := _same(known, digest):
            return before, False
        raise


def _stored(project: Project, columns: dict[str, object]) -> Response:
    """A response written elsewhere: ready at once, or when the guard has looked at it."""
    with transaction.atomic():
        response = Response.objects.create(state=arrivals.written_state(project), **columns)
        if response.state == Response.State.SCREENING:
            arrivals.ask_worker(project)
    return response


def _columns(
    project: Project, messages: list[dict[str, str]], group: str = "", follows: Prompt | None = None
) -> dict[str, object]:
    """Messages and what decides their split: a turn lies where the one before it lies."""
    columns: dict[str, object] = {"project": project, "messages": messages}
    if follows is not None:
        splits.remember(project, messages, follows.family)
        return columns | {"family": follows.family, "split": follows.split, "group": follows.group}
    new = splits.newcomer(project, messages, group=group)
    (place,) = splits.place(project, [new])
    return columns | {"family": new.family, "split": place.split, "group": group}


def _turn(conversation: Conversation | None, follows: Prompt | None) -> dict[str, object]:
    if conversation is None:
        return {}
    return {"conversation": conversation, "turn": follows.turn + 1 if follows else 1}


def _same(known: "QuerySet[R, R]", digest: str) -> R | None:
    before = known.first()
    if before is not None and before.body_hash != digest:
        raise ExternalIdConflict(field="external_id")
    return before
