"""External preferences: a prompt, two responses and which is better, by an imported person.

They become the same rows that the desk makes (task, assignment, annotation, pair), so that agreement, lineage and
withdrawal treat them alike.
"""

import uuid
from datetime import datetime

from django.db import IntegrityError, transaction
from django.utils import timezone

from feedback.errors import ExternalIdConflict, Invalid
from feedback.models import (
    Annotation,
    Assignment,
    Kind,
    Person,
    PreferencePair,
    Project,
    Prompt,
    Response,
    Task,
)
from feedback.rules.collection import messages as message_rules
from feedback.rules.collection.pairing import queue_key
from feedback.rules.collection.preferences import CLEAR, STRENGTH_SCALE, STRENGTHS
from feedback.rules.data import texts
from feedback.rules.data.content_hash import body_hash
from feedback.services.collection import prompts, tasks
from feedback.services.platform import people
from feedback.services.platform.closed_projects import refuse_when_closed
from feedback.services.screening import arrivals


def give_preference(
    *,
    project: Project,
    by: Person,
    prompt_messages: list[dict[str, str]],
    chosen: str,
    rejected: str,
    strength: int = CLEAR,
    source: str,
    annotator_name: str,
    external_id: str | None = None,
    group: str = "",
) -> tuple[PreferencePair, bool]:
    """Write a settled comparison. Empty responses are allowed: public datasets have them.

    Returns:
        The pair, and whether it is new (False: the same external_id and body came before).

    Raises:
        Invalid: a message or the strength is wrong, both responses are the same text, or the prompt holds personal data
            that the project does not take.
        ExternalIdConflict: the external_id exists with another body.
    """
    try:
        messages = message_rules.checked(prompt_messages)
    except message_rules.InvalidMessages as error:
        raise Invalid(error.sentence, field=error.field.replace("messages", "prompt", 1)) from None
    if isinstance(strength, bool) or strength not in STRENGTHS:
        raise Invalid(f"The strength must be one of {STRENGTH_SCALE}.", field="strength")
    for name, text in (("chosen", chosen), ("rejected", rejected)):
        if "\x00" in text:
            raise Invalid("It contains a NUL character, which cannot be stored.", field=name)
    if twins := texts.twins([chosen, rejected]):
        raise Invalid(texts.twins_sentence(twins), field="rejected")
    if not source or not annotator_name:
        raise Invalid("Name the source and the annotator.", field="annotator")
    refuse_when_closed(project, "preferences")
    prompts.check_group(group)
    of_group = [group] if group else []
    digest = body_hash([messages, chosen, rejected, strength, source, annotator_name, *of_group])
    if external_id is not None and (before := _same(project, external_id, digest)):
        return before, False
    arrival = arrivals.arrive(project, messages)
    if arrival.state == Prompt.State.BLOCKED:
        found = ", ".join(arrival.screening["personal"])
        raise Invalid(f"It contains personal data ({found}), which this project does not accept.", field="prompt")
    annotator = people.imported_person(source=source, name=annotator_name)
    try:
        with transaction.atomic():
            prompt = prompts.new_prompt(
                project=project,
                messages=arrival.messages,
                group=group,
                source=source,
                created_by=by,
                screening=arrival.screening,
                state=arrival.state or Prompt.State.READY,
            )
            prompt.save()
            pair = _write(project, prompt, annotator, by, chosen, rejected, strength, source, external_id, digest)
            if prompt.state == Prompt.State.RECEIVED:
                arrivals.ask_worker(project)
    except IntegrityError:
        if external_id is not None and (before := _same(project, external_id, digest)):
            return before, False
        raise
    return pair, True


def _write(
    project: Project,
    prompt: Prompt,
    annotator: Person,
    by: Person,
    chosen: str,
    rejected: str,
    strength: int,
    source: str,
    external_id: str | None,
    digest: str,
) -> PreferencePair:
    now: datetime = timezone.now()
    model = f"{source} (unknown)"
    better = Response.objects.create(project=project, prompt=prompt, text=chosen, model_name=model)
    worse = Response.objects.create(project=project, prompt=prompt, text=rejected, model_name=model)
    task_id = uuid.uuid4()
    task = Task.objects.create(
        public_id=task_id,
        project=project,
        kind=Kind.COMPARISON,
        prompt=prompt,
        state=Task.State.SETTLED,
        annotations_wanted=1,
        free_slots=0,
        queue_key=queue_key(0, task_id),
        arm="imported",
        external_id=external_id,
        body_hash=digest,
        created_by=by,
    )
    tasks.place_responses(task, [better, worse])
    assignment = Assignment.objects.create(
        project=project,
        task=task,
        annotator=annotator,
        state=Assignment.State.SUBMITTED,
        slot=1,
        order=[better.pk, worse.pk],
        held_until=now,
        counted=True,
    )
    payload = {
        "outcome": "prefer",
        "chosen": str(better.public_id),
        "rejected": str(worse.public_id),
        "strength": strength,
        "dimensions": {},
        "reason": "",
    }
    annotation = Annotation.objects.create(
        project=project,
        task=task,
        assignment=assignment,
        annotator=annotator,
        kind=Kind.COMPARISON,
        payload=payload,
        shown=[],  # how it was shown elsewhere is not known
        client="import",
    )
    Assignment.objects.filter(pk=assignment.pk).update(current=annotation)
    return PreferencePair.objects.create(
        project=project,
        prompt=prompt,
        chosen=better,
        rejected=worse,
        strength=strength,
        annotation=annotation,
    )


def _same(project: Project, external_id: str, digest: str) -> PreferencePair | None:
    task = Task.objects.filter(project=project, external_id=external_id).first()
    if task is None:
        return None
    if task.body_hash != digest:
        raise ExternalIdConflict(field="external_id")
    return PreferencePair.objects.filter(annotation__task=task).order_by("pk").first()
