"""Annotations and their history: revised, withdrawn, flagged and reviewed. None is ever overwritten."""

from uuid import UUID

import django_filters
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.collection.assignments import ANSWER
from feedback.api.fields import MomentFilter, ObjectField, PersonBriefSerializer, VerbatimField
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.errors import Forbidden
from feedback.models import Annotation, Assignment, Kind, Person, Review
from feedback.rules.collection.kinds.registry import KINDS
from feedback.rules.collection.payloads import unresolve
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import blindness
from feedback.selectors.platform import access
from feedback.selectors.registry import lineage
from feedback.services.collection import annotations
from feedback.services.quality import reviews


class AnnotationSerializer(Serializer):
    """One revision of an annotation. `answer` names responses by the letters that they were shown under."""

    id = serializers.UUIDField(source="public_id")
    assignment = serializers.UUIDField(source="assignment.public_id")
    kind = serializers.CharField()
    annotator = PersonBriefSerializer()
    revision = serializers.IntegerField()
    current = serializers.SerializerMethodField(help_text="Whether it is the annotator's current annotation.")
    counted = serializers.SerializerMethodField(
        help_text="Whether it counts toward the annotations wanted by its task."
    )
    withdrawn = serializers.BooleanField()
    late = serializers.BooleanField()
    answer = serializers.SerializerMethodField()
    seconds = serializers.FloatField()
    client = serializers.CharField()
    blind = serializers.BooleanField(
        allow_null=True, help_text="Whether the annotator was blind to the sources of the responses; null: unknown."
    )
    created_at = serializers.DateTimeField()

    def get_current(self, row: Annotation) -> bool:
        return row.assignment.current_id == row.pk

    def get_counted(self, row: Annotation) -> bool:
        return self.get_current(row) and row.assignment.counted

    def get_answer(self, row: Annotation) -> JsonObject | None:
        if row.withdrawn or not row.payload:
            return None
        if not row.shown and KINDS[row.kind].fewest_responses:  # imported: the order of display is not known
            return {"outcome": row.payload.get("outcome"), "strength": row.payload.get("strength")}
        return unresolve(row.kind, row.project.names.read(row.payload), row.shown)


class ReviewSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    annotation = serializers.UUIDField(source="annotation.public_id")
    reviewer = PersonBriefSerializer()
    decision = serializers.ChoiceField(choices=Review.Decision.choices)
    note = serializers.CharField(allow_blank=True)
    created_at = serializers.DateTimeField()


class FlagSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    reason = serializers.CharField()
    created_at = serializers.DateTimeField()


class AnnotationWithHistorySerializer(AnnotationSerializer):
    """An annotation with all its revisions, the decisions about them, and the snapshots and models that use it."""

    history = AnnotationSerializer(many=True)
    reviews = ReviewSerializer(many=True)
    flags = FlagSerializer(many=True)
    snapshots = serializers.ListField(
        child=serializers.UUIDField(),
        help_text="Snapshots that contain this annotation. "
        "For annotators, while a contest runs: those from before it was opened.",
    )
    model_versions = serializers.ListField(child=serializers.CharField(), help_text="Model versions trained on it.")


@extend_schema_serializer(component_name="Revision")
class RevisionSerializer(Serializer):
    answer = ObjectField(help_text=ANSWER)
    seconds = serializers.FloatField(required=False, allow_null=True, min_value=0)


class ReasonSerializer(Serializer):
    reason = VerbatimField(max_length=500)


class DecisionSerializer(Serializer):
    decision = serializers.ChoiceField(choices=Review.Decision.choices)
    note = VerbatimField(max_length=5000, allow_blank=True, default="")
    answer = ObjectField(required=False, allow_null=True, help_text="The reviewer's annotation, for `correct`.")


class AnnotationFilter(django_filters.FilterSet):
    annotator = django_filters.UUIDFilter(field_name="annotator__public_id")
    kind = django_filters.ChoiceFilter(choices=Kind.choices)
    since = MomentFilter(field_name="created_at", lookup_expr="gte")

    class Meta:
        model = Annotation
        fields = ["annotator", "kind", "since"]


def rows() -> QuerySet[Annotation]:
    return Annotation.objects.select_related("project", "annotator", "assignment")


def with_history(annotation: Annotation, person: Person) -> JsonObject:
    """The data of AnnotationWithHistorySerializer, for `person`."""
    until = blindness.shown_until(annotation.project, person)
    assignment = annotation.assignment
    revisions = list(rows().filter(assignment=assignment).order_by("revision"))
    found = next(row for row in revisions if row.pk == annotation.pk)
    decisions = Review.objects.filter(annotation__assignment=assignment).select_related("annotation", "reviewer")
    snapshots: set[str] = set()
    versions: set[str] = set()
    for revision in revisions:
        uses = lineage.of_annotation(revision, until)
        for snapshot in uses["snapshots"]:
            snapshots.add(str(snapshot.public_id))
        versions.update(map(str, uses["versions"]))
    return AnnotationSerializer(found).data | {
        "history": AnnotationSerializer(revisions, many=True).data,
        "reviews": ReviewSerializer(decisions.order_by("pk"), many=True).data,
        "flags": FlagSerializer(assignment.flags.order_by("pk"), many=True).data,
        "snapshots": sorted(snapshots),
        "model_versions": sorted(versions),
    }


class Annotations(ServiceView):
    scopes = {"GET": "read"}
    queryset = Annotation.objects.none()
    filter_backends = [DjangoFilterBackend]
    filterset_class = AnnotationFilter

    @extend_schema(
        summary="Answers",
        description="Reviewers and admins see all annotations, annotators their own. Every revision is a row.",
        parameters=[IN_PROJECT],
        responses=AnnotationSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        project = self.requested_project()
        found = rows().filter(project=project)
        if not access.may(self.viewer, project, access.REVIEWER):
            found = found.filter(assignment__annotator=self.person)
        return self.page(found, AnnotationSerializer)


class OneAnnotation(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Get an annotation and its history",
        description="The id of any revision leads to all of them.",
        responses=AnnotationWithHistorySerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        return Response(with_history(access.get_annotation(self.viewer, id), self.person))


class ReviseAnnotation(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Revise an annotation",
        description="Your own annotation only. The earlier revision stays in the history, and its pairs are closed.",
        request=RevisionSerializer,
        responses={201: AnnotationWithHistorySerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        held = own_assignment(self, id)
        given = self.validated(RevisionSerializer)

        def act() -> StatusAndBody:
            return 201, with_history(annotations.revise(assignment=held, by=self.person, **given), self.person)

        return self.once(act)


class WithdrawAnnotation(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Withdraw an annotation",
        description=(
            "Your own annotation only. It no longer counts and is not used for training; its slot is free again."
        ),
        request=None,
        responses=AnnotationWithHistorySerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        held = own_assignment(self, id)
        return self.once(
            lambda: (200, with_history(annotations.withdraw(assignment=held, by=self.person), self.person))
        )


class FlagAnnotation(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Flag an annotation",
        description="Adds it to the review queue. The annotation is unchanged.",
        request=ReasonSerializer,
        responses={201: FlagSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        annotation = access.get_annotation(self.viewer, id)
        reason = self.validated(ReasonSerializer)["reason"]

        def act() -> StatusAndBody:
            row = annotations.flag(assignment=annotation.assignment, by=self.person, reason=reason)
            return 201, FlagSerializer(row).data

        return self.once(act)


class ReviewAnnotation(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Review an annotation",
        description="For reviewers and admins, not for your own annotation. `accept` keeps it; `correct` replaces "
        "it with the reviewer's annotation; `send_back` returns it to the annotator and reopens its "
        "slot.",
        request=DecisionSerializer,
        responses={201: ReviewSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        annotation = access.get_annotation(self.viewer, id)
        access.require_role(self.viewer, annotation.project, access.REVIEWER)
        given = self.validated(DecisionSerializer)

        def act() -> StatusAndBody:
            return 201, ReviewSerializer(reviews.review(annotation=annotation, by=self.person, **given)).data

        return self.once(act)


def own_assignment(view: ServiceView, id: UUID) -> Assignment:
    """The assignment of this annotation, which must be the caller's own.

    Raises:
        Forbidden: it is somebody else's; a reviewer corrects it with `review`.
    """
    annotation = access.get_annotation(view.viewer, id)
    if annotation.assignment.annotator_id != view.person.pk:
        raise Forbidden("This annotation belongs to another annotator. Reviewers use review/.")
    return access.get_assignment(view.viewer, annotation.assignment.public_id)
