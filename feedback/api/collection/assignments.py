"""Assignments: drafts, the submission, and how an annotator skips, renews or releases a task."""

from dataclasses import asdict
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.collection.tasks import AssignmentSerializer
from feedback.api.fields import ObjectField, VerbatimField
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView, StatusAndBody
from feedback.models import Annotation, Assignment
from feedback.rules.collection import queue_policy
from feedback.rules.collection.preferences import STRENGTH_SCALE
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import desk
from feedback.selectors.platform import access
from feedback.services.collection import annotations, assignment_queue, assignments
from feedback.services.collection.assignment_queue import NoTask
from feedback.services.quality import qualification

ANSWER = (
    "Depends on the task kind; responses are named by the letters shown. A comparison: "
    f'{{"outcome": "prefer", "choice": "a", "strength": 0 to 3, "dimensions": {{"truthful": "b" or "same"}}, '
    '"reason": "…"}, '
    f'or {{"outcome": "tie"}}. Strengths: {STRENGTH_SCALE}. An invalid annotation is rejected with '
    "the field name in `attr`."
)


@extend_schema_serializer(component_name="Submission")
class SubmissionSerializer(Serializer):
    answer = ObjectField(help_text=ANSWER)
    seconds = serializers.FloatField(
        required=False, allow_null=True, min_value=0, help_text="Time spent, at most the time since the task was shown."
    )
    next = serializers.BooleanField(default=False, help_text="Return the next task in the same response.")


class NoTaskSerializer(Serializer):
    reason = serializers.CharField()
    text = serializers.CharField()
    retry_after = serializers.IntegerField(help_text="Seconds.")


@extend_schema_serializer(component_name="Told")
class QualificationResultSerializer(Serializer):
    right = serializers.BooleanField()
    answer = serializers.DictField(help_text="The correct answer, with the letters you were shown.")
    explanation = serializers.CharField(help_text="Why.")
    training = serializers.CharField(
        help_text=("State of the qualification round after this annotation: needed, passed or failed.")
    )
    answered = serializers.IntegerField()
    needed = serializers.IntegerField()


class SubmittedSerializer(Serializer):
    annotation = serializers.UUIDField(help_text="Id for revising or withdrawing.")
    assignment = serializers.UUIDField()
    counted = serializers.BooleanField(
        help_text="Whether it counts toward the annotations wanted; otherwise it was late and is saved as an extra."
    )
    late = serializers.BooleanField(help_text="Whether it was submitted after the assignment expired.")
    seconds = serializers.FloatField()
    feedback = QualificationResultSerializer(
        required=False, help_text=("In the qualification round: the correct answer and the reason.")
    )
    next = AssignmentSerializer(allow_null=True, required=False)
    no_next = NoTaskSerializer(required=False, help_text="Why there is no next task, if one was requested.")


class DraftSerializer(Serializer):
    payload = ObjectField(help_text="Free-form state of the client.")


class SkipSerializer(Serializer):
    reason = serializers.ChoiceField(choices=queue_policy.SKIP_REASONS)
    note = VerbatimField(max_length=500, allow_blank=True, default="")


def submission_data(assignment: Assignment, annotation: Annotation) -> JsonObject:
    reply: JsonObject = {
        "annotation": str(annotation.public_id),
        "assignment": str(assignment.public_id),
        "counted": assignment.counted,
        "late": annotation.late,
        "seconds": annotation.seconds,
    }
    verdict = qualification.verdict_of(assignment)
    if verdict is not None:
        reply["feedback"] = asdict(verdict)
    return reply


class OneAssignment(ServiceView):
    scopes = {"GET": "annotate"}

    @extend_schema(summary="Get an assignment", responses=AssignmentSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(desk.payload(access.get_assignment(self.viewer, id)))


class Draft(ServiceView):
    scopes = {"PUT": "annotate"}

    @extend_schema(
        summary="Save a draft",
        description="Saved regardless of the state of the assignment; deleted on submission.",
        request=DraftSerializer,
        responses={204: None},
    )
    def put(self, request: Request, id: UUID) -> Response:
        assignment = access.get_assignment(self.viewer, id)
        annotations.save_draft(assignment=assignment, payload=self.validated(DraftSerializer)["payload"])
        return Response(status=status.HTTP_204_NO_CONTENT)


class Submit(ServiceView):
    scopes = {"POST": "annotate"}
    needs_key = True

    @extend_schema(
        summary="Submit an annotation",
        description="Also accepted after the assignment has expired. A repeat with the same Idempotency-Key gets "
        "the first response; a new key on an annotated task gets 409 `already_submitted` with the "
        "annotation to revise.",
        request=SubmissionSerializer,
        responses={201: SubmittedSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        assignment = access.get_assignment_to_submit(self.viewer, id)
        given = self.validated(SubmissionSerializer)

        def submit() -> StatusAndBody:
            annotation = annotations.submit(
                assignment=assignment, answer=given["answer"], seconds=given.get("seconds"), client=self.client
            )
            return 201, submission_data(assignment, annotation)

        def next_task() -> JsonObject:
            if not given["next"]:
                return {}
            return self._next(assignment)

        return self.once_in_unit_of_work(submit, next_task)

    @property
    def client(self) -> str:
        return "api" if self.viewer.token is not None else "web"

    def _next(self, assignment: Assignment) -> JsonObject:
        """The next assignment, or why there is none."""
        if access.has_left(self.viewer, assignment):
            return _no_next(assignment_queue.NOT_A_MEMBER)
        found = assignment_queue.next_assignment(project=assignment.project, annotator=self.person)
        if isinstance(found, NoTask):
            return _no_next(found)
        return {"next": desk.payload(found)}


class Skip(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Skip a task",
        description="Frees the slot for another annotator; you do not get this task again.",
        request=SkipSerializer,
        responses=AssignmentSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        assignment = access.get_assignment(self.viewer, id)
        given = self.validated(SkipSerializer)
        return self.once(lambda: _current(self.viewer, assignments.skip(assignment=assignment, **given)))


class Renew(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Renew an assignment",
        description="Call this every minute while the task is on screen.",
        request=None,
        responses=AssignmentSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        assignment = access.get_assignment(self.viewer, id)
        return self.once(lambda: _current(self.viewer, assignments.renew(assignment=assignment)))


class Release(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Release an assignment",
        description="The task may be assigned to you again. Idempotent.",
        request=None,
        responses=AssignmentSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        assignment = access.get_assignment(self.viewer, id)
        return self.once(lambda: _current(self.viewer, assignments.release(assignment=assignment)))


class Shown(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Mark a prefetched task as shown",
        description="For a prefetched task: the time starts now, and the assignment lasts the full ten minutes.",
        request=None,
        responses=AssignmentSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        assignment = access.get_assignment(self.viewer, id)
        return self.once(lambda: _current(self.viewer, assignments.mark_shown(assignment=assignment)))


def _current(viewer: access.Viewer, assignment: Assignment) -> StatusAndBody:
    """The assignment as it is after the change."""
    return 200, desk.payload(access.get_assignment(viewer, assignment.public_id))


def _no_next(why: NoTask) -> JsonObject:
    return {"next": None, "no_next": {"reason": why.reason, "text": why.sentence, "retry_after": why.retry_after}}
