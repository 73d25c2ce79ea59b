"""Probes of models: requested here, answered by the generate worker among the live jobs, and forgotten after a while.

The same question to the same model is asked once: its job is found again while it is kept.
"""

import hashlib
import json
from datetime import timedelta
from operator import attrgetter

from django.db import transaction
from django.utils import timezone

from feedback import celery_app
from feedback.errors import Conflict, Invalid, NotFound, TooManyRequests
from feedback.models import Job, Person, Project
from feedback.rules.json_types import JsonObject
from feedback.rules.registry.probes import PROBES, InvalidProbe, ProbeKind
from feedback.selectors.platform import learn
from feedback.selectors.screening import mailbox
from feedback.services.collection.generation import LIVE
from feedback.services.platform import jobs

KEPT = timedelta(minutes=30)
ABANDONED = timedelta(minutes=2)  # after so long nobody waits any more
AT_ONCE = 4  # of one person
BUSY = "You have several questions waiting. Wait for an answer."


def kind_of(name: object) -> ProbeKind:
    """Raises NotFound: there is no such kind of probe."""
    if not isinstance(name, str) or name not in PROBES:
        raise NotFound("There is no such probe.")
    return PROBES[name]


def request_probe(*, project: Project, by: Person, kind: ProbeKind, body: JsonObject) -> Job:
    """The job that answers, which may have ended already. Questions of the same kind that still wait are withdrawn:
    whoever asks again has typed on.

    Raises:
        Invalid: what is given is not as the kind wants it.
        Conflict: the project has no such model.
        TooManyRequests: this person has as much waiting as one may.
    """
    try:
        inputs = kind.read(body)
    except InvalidProbe as error:
        raise Invalid(error.sentence, field=error.field) from None
    there = learn.models_of(project)
    versions: dict[str, str] = {}
    for name in (*kind.models, *kind.wanted):
        version = attrgetter(name)(there)
        if version is not None:
            versions[name] = str(version.public_id)
        elif name in kind.models:
            raise Conflict("The project has no model for this yet. An admin can train one.")
    if kind.name == "mailbox":
        inputs = {"texts": mailbox.filed_by_people(project)}
    payload = {LIVE: True, "probe": kind.name, "inputs": inputs, "versions": versions}
    key = hashlib.sha256(json.dumps(payload, sort_keys=True).encode()).hexdigest()
    with transaction.atomic():
        if (known := _known(project, key)) is not None:
            return known
        own = Job.objects.filter(kind=Job.Kind.PROBE, requested_by=by, status__in=Job.ACTIVE)
        waiting = own.filter(status=Job.Status.QUEUED, payload__probe=kind.name)
        waiting.update(status=Job.Status.CANCELLED, finished_at=timezone.now())
        if own.count() >= AT_ONCE:
            raise TooManyRequests(2, BUSY)
        return jobs.create(
            kind=Job.Kind.PROBE,
            queue_name=celery_app.GENERATE,
            project=project,
            by=by,
            payload={**payload, "key": key},
        )


def _known(project: Project, key: str) -> Job | None:
    """The newest job with this question that has not failed."""
    rows = Job.objects.filter(
        project=project, kind=Job.Kind.PROBE, payload__key=key, created_at__gte=timezone.now() - KEPT
    )
    return rows.filter(status__in=[*Job.ACTIVE, Job.Status.SUCCEEDED]).order_by("-pk").first()


def forget_old() -> int:
    """Delete probes that have ended long ago, and withdraw those for which nobody waits. Safe to run twice at once."""
    now = timezone.now()
    probes = Job.objects.filter(kind=Job.Kind.PROBE)
    left = probes.filter(status=Job.Status.QUEUED, created_at__lt=now - ABANDONED)
    left.update(status=Job.Status.CANCELLED, finished_at=now)
    return probes.filter(status__in=Job.FINAL, finished_at__lt=now - KEPT).delete()[0]
