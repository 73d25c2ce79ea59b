"""Projects, their members and their guidelines."""

from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField, PersonBriefSerializer
from feedback.api.serializers import Serializer, ValidatedData
from feedback.api.views import ServiceView, StatusAndBody
from feedback.errors import NotFound
from feedback.models import GuidelineVersion, Kind, Membership, Project
from feedback.rules.collection import dimensions
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access
from feedback.selectors.platform import projects as project_selectors
from feedback.services.collection import label_schemes
from feedback.services.platform import projects
from feedback.services.quality import qualification


class ProjectSettingsSerializer(Serializer):
    """What an admin of the project may change."""

    name = serializers.CharField(max_length=120)
    description = serializers.CharField(allow_blank=True, max_length=10_000, required=False)
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=Kind.choices), required=False, help_text="Task kinds it gives out."
    )
    label_scheme = ObjectField(required=False)
    dimensions = serializers.ListField(
        child=serializers.CharField(max_length=dimensions.MOST_CHARACTERS),
        max_length=dimensions.MOST,
        required=False,
        help_text="Rated per comparison.",
    )
    asks_reason = serializers.BooleanField(required=False)
    completions_make_tasks = serializers.BooleanField(
        required=False, help_text="Requests to /v1/chat/completions get two responses and become tasks."
    )
    battles_train = serializers.BooleanField(
        required=False, help_text="Prompts and votes of battles in the arena may go into snapshots."
    )
    number_sends = serializers.BooleanField(required=False, help_text="On the desk, a number key submits at once.")
    annotations_per_task = serializers.IntegerField(min_value=1, max_value=100, required=False)
    responses_per_prompt = serializers.IntegerField(min_value=2, max_value=9, required=False)
    sampling = ObjectField(
        required=False,
        help_text="temperature, top_p, top_k, max_new_tokens; best_of: the number of samples for each response,"
        " of which the newest reward model keeps the best (1 is off).",
    )
    training_policy = ObjectField(required=False, help_text="Preset and settings of the training stages.")
    queue_policy = ObjectField(
        required=False,
        help_text="How tasks are given out: gold_share (0 to 0.3, or 1), kind_weights, daily_limit, training_tasks and"
        " training_pass (percent) of the qualification round, skips_to_review, review_share, double_share (0 to 0.5:"
        " new comparisons that two annotators get where a task wants one annotation).",
    )


class ProjectChangesSerializer(ProjectSettingsSerializer):
    withdraw_tasks = serializers.BooleanField(
        required=False,
        help_text="Withdraw open tasks that need a removed kind, scheme or dimension, instead of returning 409.",
    )


class NewProjectSerializer(ProjectSettingsSerializer):
    slug = serializers.SlugField(max_length=60, help_text="Short name, used in addresses.")


class ProjectSerializer(serializers.ModelSerializer[Project]):
    id = serializers.UUIDField(source="public_id", read_only=True)
    label_scheme = ObjectField()
    sampling = ObjectField()
    training_policy = ObjectField(allow_null=True, help_text="Null for annotators.")
    queue_policy = ObjectField(allow_null=True, help_text="Null for annotators.")
    kinds = serializers.ListField(child=serializers.CharField())
    dimensions = serializers.ListField(child=serializers.CharField())

    def to_representation(self, instance: Project) -> JsonObject:
        """Hide from annotators how gold tasks are mixed in and how models are trained: both are null for them."""
        representation = super().to_representation(instance)
        viewer = self.context.get("viewer")
        if viewer is not None and not access.may(viewer, instance, access.REVIEWER):
            representation |= {"queue_policy": None, "training_policy": None}
        return representation

    class Meta:
        model = Project
        fields = [
            "id",
            "slug",
            "name",
            "description",
            "state",
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
            "created_at",
        ]


class ProjectStateSerializer(Serializer):
    state = serializers.ChoiceField(choices=Project.State.choices)


class MemberSerializer(Serializer):
    person = PersonBriefSerializer()
    role = serializers.CharField(help_text="annotator, reviewer or admin.")
    since = serializers.DateTimeField(source="created_at")
    qualified = ObjectField(help_text='What they may do: {"kinds": […], "schemes": […]}; empty: all.')
    daily_limit = serializers.IntegerField(allow_null=True, help_text="Annotations per day; null: the project's limit.")
    training = serializers.ChoiceField(choices=Membership.Training.choices)
    trained_at = serializers.DateTimeField(allow_null=True)
    guidelines_read = serializers.IntegerField(
        source="guidelines_read.number",
        allow_null=True,
        default=None,
        help_text="The newest version that the member has read.",
    )


class SetMemberSerializer(Serializer):
    person = serializers.CharField(max_length=150, help_text="Public id or username.")
    role = serializers.ChoiceField(choices=Membership.Role.choices)


class MemberTermsSerializer(Serializer):
    qualified = ObjectField(required=False)
    daily_limit = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=100_000)
    training = serializers.ChoiceField(
        choices=["waived", "needed"],
        required=False,
        help_text="Work without the qualification round, or start it again.",
    )


class GuidelinesSerializer(serializers.ModelSerializer[GuidelineVersion]):
    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = GuidelineVersion
        fields = ["id", "number", "text", "created_at"]
        read_only_fields = ["number"]


class Projects(ServiceView):
    scopes = {"GET": "read", "POST": "admin"}

    @extend_schema(summary="Your projects", responses=ProjectSerializer(many=True))
    def get(self, request: Request) -> Response:
        return self.page(access.projects_for(self.viewer), ProjectSerializer, viewer=self.viewer)

    @extend_schema(
        summary="Create a project",
        description="Only site admins create projects; the creator becomes project admin.",
        request=NewProjectSerializer,
        responses={201: ProjectSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewProjectSerializer)
        return self.once(lambda: (201, ProjectSerializer(projects.open_project(by=self.person, **given)).data))


class OneProject(ServiceView):
    scopes = {"GET": "read", "PATCH": "admin"}

    @extend_schema(summary="A project", responses=ProjectSerializer)
    def get(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project)
        return Response(ProjectSerializer(row, context={"viewer": self.viewer}).data)

    @extend_schema(
        summary="Change a project's settings",
        description="Existing prompts and tasks keep their settings.",
        request=ProjectChangesSerializer,
        responses=ProjectSerializer,
    )
    def patch(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        given = self.validated(ProjectChangesSerializer, partial=True)
        return Response(ProjectSerializer(projects.update_project(by=self.person, project=row, **given)).data)


class RenameSerializer(Serializer):
    scheme = serializers.CharField(max_length=40, required=False, help_text="The label scheme, to rename a label.")
    label = serializers.CharField(  # type: ignore[assignment]
        max_length=40, required=False, help_text="The present name of a label."
    )
    dimension = serializers.CharField(max_length=60, required=False, help_text="The present name of a dimension.")
    to = serializers.CharField(max_length=60, help_text="The new name.")

    def validate(self, given: ValidatedData) -> ValidatedData:
        names = {"scheme", "label", "dimension"} & set(given)
        if names not in ({"scheme", "label"}, {"dimension"}):
            raise serializers.ValidationError({"label": ["Name a scheme and its label, or a dimension."]})
        return given


class Rename(ServiceView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Rename a label or dimension",
        description="Annotations, gold answers, drafts and suggestions with the old name are read under the new "
        "one. Stored data and snapshots are not rewritten. Names cannot be merged.",
        request=RenameSerializer,
        responses=ProjectSerializer,
    )
    def post(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        given = self.validated(RenameSerializer)

        def act() -> StatusAndBody:
            if "dimension" in given:
                renamed = label_schemes.rename_dimension(
                    by=self.person, project=row, old=given["dimension"], new=given["to"]
                )
            else:
                renamed = label_schemes.rename_label(
                    by=self.person, project=row, scheme=given["scheme"], old=given["label"], new=given["to"]
                )
            return 200, ProjectSerializer(renamed).data

        return self.once(act)


class ProjectStateView(ServiceView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Open, pause or close a project",
        description="Paused: no new assignments; current ones can be submitted. Closed: also no new prompts or tasks.",
        request=ProjectStateSerializer,
        responses=ProjectSerializer,
    )
    def post(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        given = self.validated(ProjectStateSerializer)
        return self.once(
            lambda: (200, ProjectSerializer(projects.set_state(by=self.person, project=row, **given)).data)
        )


class Members(ServiceView):
    scopes = {"GET": "read", "POST": "admin"}

    @extend_schema(summary="List members", responses=MemberSerializer(many=True))
    def get(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project, access.REVIEWER)
        return self.page(row.memberships.select_related("person", "guidelines_read"), MemberSerializer)

    @extend_schema(
        summary="Set the role of a person",
        description="Replaces an existing role. The last admin of a project cannot be changed.",
        request=SetMemberSerializer,
        responses=MemberSerializer,
    )
    def post(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        given = self.validated(SetMemberSerializer)
        person = project_selectors.by_username(given["person"])
        if person is None:
            person = self.row_named("person", access.get_person, given["person"])

        def act() -> StatusAndBody:
            member = projects.set_member(by=self.person, project=row, person=person, role=given["role"])
            return 200, MemberSerializer(member).data

        return self.once(act)


class OneMember(ServiceView):
    scopes = {"PATCH": "admin", "DELETE": "admin"}

    @extend_schema(
        summary="Set the qualifications of a member",
        description="Qualified kinds and label schemes, annotations per day, and the qualification round.",
        request=MemberTermsSerializer,
        responses=MemberSerializer,
    )
    def patch(self, request: Request, project: str, person: UUID) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        member = project_selectors.membership(row, person)
        if member is None:
            raise NotFound
        given = self.validated(MemberTermsSerializer)
        if "training" in given:
            member = qualification.set_training(
                by=self.person, project=row, person=member.person, training=given["training"]
            )
        if {"qualified", "daily_limit"} & set(given):
            member = projects.qualify(
                by=self.person,
                project=row,
                person=member.person,
                qualified=given.get("qualified", member.qualified),
                daily_limit=given.get("daily_limit", member.daily_limit),
            )
        return Response(MemberSerializer(member).data)

    @extend_schema(summary="Remove a member", description="Their annotations stay.", responses={204: None})
    def delete(self, request: Request, project: str, person: UUID) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        member = project_selectors.membership(row, person)
        if member is None:
            raise NotFound
        projects.remove_member(by=self.person, project=row, person=member.person)
        return Response(status=status.HTTP_204_NO_CONTENT)


class Guidelines(ServiceView):
    scopes = {"GET": "read", "POST": "admin"}

    @extend_schema(
        summary="Guidelines for annotators",
        description="Newest version first.",
        responses=GuidelinesSerializer(many=True),
    )
    def get(self, request: Request, project: str) -> Response:
        return self.page(access.get_project(self.viewer, project).guidelines.all(), GuidelinesSerializer)

    @extend_schema(
        summary="Publish a new version of the guidelines",
        description="Versions are never edited. The text of the newest version is not published again.",
        request=GuidelinesSerializer,
        responses={201: GuidelinesSerializer},
    )
    def post(self, request: Request, project: str) -> Response:
        row = access.get_project(self.viewer, project, access.ADMIN)
        text = self.validated(GuidelinesSerializer)["text"]

        def act() -> StatusAndBody:
            version = projects.publish_guidelines(by=self.person, project=row, text=text)
            return 201, GuidelinesSerializer(version).data

        return self.once(act)


class GuidelinesRead(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Mark guidelines as read",
        description="The desk asks once for each new version. Annotations keep the version they were made under.",
        request=None,
        responses=GuidelinesSerializer,
    )
    def post(self, request: Request, project: str, number: int) -> Response:
        row = access.get_project(self.viewer, project)
        version = row.guidelines.filter(number=number).first()
        if version is None:
            raise NotFound

        def act() -> StatusAndBody:
            projects.guidelines_read(project=row, person=self.person, version=version)
            return 200, GuidelinesSerializer(version).data

        return self.once(act)
