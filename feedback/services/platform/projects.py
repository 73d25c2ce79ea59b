"""Projects, their members and their guidelines."""

import dataclasses
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from feedback.errors import Conflict, Forbidden, Invalid, NotFound
from feedback.models import GuidelineVersion, Kind, Membership, Person, Project
from feedback.rules.collection import dimensions, label_schemes, queue_policy
from feedback.rules.json_types import JsonObject
from feedback.rules.platform.known_names import unknown_name
from feedback.rules.training import policies
from feedback.selectors.data.training_queries import Policy
from feedback.services.collection import member_departure
from feedback.services.platform import events, setting_changes

SNAPSHOT_POLICY = frozenset(field.name for field in dataclasses.fields(Policy))

CHANGEABLE = frozenset(
    {
        "name",
        "description",
        "kinds",
        "label_scheme",
        "dimensions",
        "asks_reason",
        "number_sends",
        "completions_make_tasks",
        "battles_train",
        "annotations_per_task",
        "responses_per_prompt",
        "sampling",
        "training_policy",
        "queue_policy",
    }
)


def open_project(*, by: Person, name: str, slug: str, kinds: list[str] | None = None, **settings: Any) -> Project:
    """Create a project; `by` becomes its admin.

    Raises:
        Forbidden: only site admins open projects.
        Conflict: the slug is taken.
        Invalid: a setting is unknown or out of range.
    """
    if not by.is_site_admin:
        raise Forbidden("Only site admins create projects.")
    settings["kinds"] = kinds or [Kind.COMPARISON.value]
    _check(settings)
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, slug=slug, created_by=by, **settings)
            Membership.objects.create(project=project, person=by, role=Membership.Role.ADMIN)
            events.record("project.opened", project, actor=by, project=project)
    except IntegrityError:
        raise Conflict(f"The short name {slug!r} is taken.", field="slug") from None
    return project


def update_project(*, by: Person, project: Project, withdraw_tasks: bool = False, **changes: Any) -> Project:
    """Change settings. Gold tasks whose right answer names what is gone are put on hold.

    Args:
        withdraw_tasks: take open tasks out of the queue that need what goes, rather than refuse the change.

    Raises:
        Invalid: a setting is unknown or out of range.
        Conflict: open tasks need a kind, label scheme or dimension that would be gone.
    """
    _check(changes, project)
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        setting_changes.refuse_earlier_names(locked, changes)
        if withdraw_tasks:
            setting_changes.withdraw_what_is_needed(by, locked, changes)
        else:
            setting_changes.refuse_what_is_needed(locked, changes)
        Project.objects.filter(pk=project.pk).update(**changes)
        events.record("project.changed", project, actor=by, project=project, fields=",".join(sorted(changes)))
        project.refresh_from_db()
        if {"label_scheme", "dimensions"} & set(changes):
            setting_changes.hold_unfit_gold(project)
    return project


def set_scheme(*, by: Person, project: Project, name: str, scheme: JsonObject | None) -> Project:
    """Add, change or (with None) remove a label scheme. The other schemes stay.

    Raises:
        Invalid: the scheme cannot be used; `field` says where.
        Conflict: open tasks ask for it, and it would be gone or of another kind.
    """
    with transaction.atomic():
        locked = Project.objects.select_for_update().get(pk=project.pk)
        changed = dict(locked.label_scheme)
        if scheme is not None:
            changed[name] = scheme
        else:
            changed.pop(name, None)
        return update_project(by=by, project=project, label_scheme=changed)


def set_state(*, by: Person, project: Project, state: str) -> Project:
    """Open, pause or close a project. Every change of state is allowed."""
    if state not in Project.State.values:
        raise Invalid(f"The state must be one of {', '.join(Project.State.values)}.", field="state")
    with transaction.atomic():
        Project.objects.filter(pk=project.pk).update(state=state)
        events.record(f"project.{state}", project, actor=by, project=project)
    project.state = state
    return project


def set_member(*, by: Person | None, project: Project, person: Person, role: str) -> Membership:
    """Give `person` a role. The last admin cannot lose theirs."""
    if role not in Membership.Role.values:
        raise Invalid(f"The role must be one of {', '.join(Membership.Role.values)}.", field="role")
    with transaction.atomic():
        if role != Membership.Role.ADMIN:
            _keep_an_admin(project, person)
        membership, _ = Membership.objects.update_or_create(project=project, person=person, defaults={"role": role})
        events.record("member.set", person, actor=by, project=project, role=role)
    return membership


def qualify(
    *, by: Person, project: Project, person: Person, qualified: JsonObject, daily_limit: int | None
) -> Membership:
    """Set the kinds that a member is qualified for, and their daily limit.

    Args:
        qualified: {"kinds": [...], "schemes": [...]}; what is missing is not limited, {} is everything.
        daily_limit: answers a day (UTC); None: the project's own limit.

    Raises:
        Invalid: kinds or schemes that are not there, or a limit that is none.
        NotFound: they have no role here.
    """
    try:
        queue_policy.check_qualified(qualified, Kind.values, sorted(project.label_scheme))
    except policies.InvalidPolicy as error:
        raise Invalid(error.sentence, field=error.field) from None
    if daily_limit is not None and not 1 <= daily_limit <= 100_000:
        raise Invalid("The daily limit is a whole number from 1 to 100000.", field="daily_limit")
    with transaction.atomic():
        member = Membership.objects.select_for_update().filter(project=project, person=person).first()
        if member is None:
            raise NotFound
        member.qualified, member.daily_limit = qualified, daily_limit
        member.save(update_fields=["qualified", "daily_limit"])
        events.record("member.qualified", person, actor=by, project=project)
    return member


def remove_member(*, by: Person, project: Project, person: Person) -> None:
    """Remove a member, who no longer sees the project. Their annotations stay; the tasks they hold are free at once.

    What they send of it afterwards is kept as an extra: see `annotations.submit`.
    """
    with transaction.atomic():
        _keep_an_admin(project, person)
        if Membership.objects.filter(project=project, person=person).delete()[0]:
            member_departure.give_back(project, person)
            events.record("member.removed", person, actor=by, project=project)


def publish_guidelines(*, by: Person | None, project: Project, text: str) -> GuidelineVersion:
    """Publish the next version of the guidelines. An unchanged text makes no new version."""
    if not text.strip():
        raise Invalid("Guidelines cannot be empty.", field="text")
    newest = project.guidelines.first()
    if newest is not None and newest.text == text:
        return newest
    try:
        with transaction.atomic():
            number = (project.guidelines.aggregate(top=Max("number"))["top"] or 0) + 1
            version = GuidelineVersion.objects.create(project=project, number=number, text=text, created_by=by)
            events.record("guidelines.published", version, actor=by, project=project, number=number)
    except IntegrityError:
        raise Conflict from None
    return version


def guidelines_read(*, project: Project, person: Person, version: GuidelineVersion) -> None:
    Membership.objects.filter(project=project, person=person).update(guidelines_read=version)


def _keep_an_admin(project: Project, person: Person) -> None:
    admins = Membership.objects.select_for_update().filter(project=project, role=Membership.Role.ADMIN)
    if {membership.person_id for membership in admins} == {person.pk}:
        raise Conflict("This is the last admin of the project. Make another member admin first.")


def _check(settings: JsonObject, project: Project | None = None) -> None:
    unknown = sorted(set(settings) - CHANGEABLE)
    if unknown:
        raise Invalid(unknown_name(unknown[0], CHANGEABLE, "setting"), field=unknown[0])
    kinds = settings.get("kinds")
    if kinds is not None and (not kinds or set(kinds) - set(Kind.values)):
        raise Invalid(f"Choose kinds from {', '.join(Kind.values)}.", field="kinds")
    if "label_scheme" in settings:
        try:
            label_schemes.check_all(settings["label_scheme"])
        except label_schemes.InvalidScheme as error:
            raise Invalid(error.sentence, field=".".join(filter(None, ("label_scheme", error.field)))) from None
    if "dimensions" in settings:
        try:
            dimensions.check(settings["dimensions"])
        except dimensions.InvalidDimensions as error:
            raise Invalid(error.sentence, field="dimensions") from None
    try:
        if "sampling" in settings:
            policies.check_sampling(settings["sampling"], kept=project.sampling if project else ())
        if "training_policy" in settings:
            kept = project.training_policy if project else ()
            policies.check_training_policy(settings["training_policy"], SNAPSHOT_POLICY, kept)
        if "queue_policy" in settings:
            queue_policy.check(settings["queue_policy"], Kind.values)
    except policies.InvalidPolicy as error:
        raise Invalid(error.sentence, field=error.field) from None
    k = settings.get("annotations_per_task")
    if k is not None and not 1 <= k <= 100:
        raise Invalid("Annotations per task must lie between 1 and 100.", field="annotations_per_task")
    count = settings.get("responses_per_prompt")
    if count is not None and not 2 <= count <= 9:
        raise Invalid("Responses per prompt must lie between 2 and 9.", field="responses_per_prompt")
