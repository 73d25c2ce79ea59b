"""Active selection: its state and settings, the replay, and the batches that it chose."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.platform.jobs import JobSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView, StatusAndBody
from feedback.models import Choice, Project
from feedback.rules.evaluation import active_selection as rules
from feedback.selectors.evaluation import active_selection as selectors
from feedback.selectors.platform import access
from feedback.services.evaluation import active_selection as services


class ObstacleSerializer(Serializer):
    name = serializers.CharField(help_text="Stable name, such as `few_labels` or `no_replay`.")
    sentence = serializers.CharField()


class SelectionReplaySerializer(Serializer):
    """What a replay on the project's own labels showed."""

    id = serializers.UUIDField(source="public_id")
    acquisition = serializers.CharField()
    random_share = serializers.FloatField()
    reward_version = serializers.UUIDField(source="reward_version.public_id")
    labels = serializers.IntegerField(help_text="Preference pairs of training prompts at that time.")
    pool = serializers.IntegerField(help_text="Labels of which half were picked.")
    held_out = serializers.IntegerField(help_text="Validation pairs that all models were measured on.")
    active_accuracy = serializers.ListField(child=serializers.FloatField(), help_text="By seed.")
    random_accuracy = serializers.ListField(child=serializers.FloatField(), help_text="By seed.")
    difference = serializers.FloatField(help_text="Mean difference in accuracy, active less random.")
    low = serializers.FloatField(help_text="Low end of its 95 % interval; must be above 0.")
    high = serializers.FloatField()
    learnable = serializers.BooleanField(help_text="Whether random labels taught more than chance.")
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="ActiveSelection")
class ActiveSelectionSerializer(Serializer):
    on = serializers.BooleanField(source="settings.on")
    acquisition = serializers.CharField(source="settings.acquisition")
    random_share = serializers.FloatField(source="settings.random_share")
    off_because = serializers.CharField(
        source="settings.off_because",
        allow_blank=True,
        help_text="Why the service switched it off: `drift_alarm` or `replay_refused`.",
    )
    sentence = serializers.CharField(help_text="The state in words.")
    labels = serializers.IntegerField(source="situation.labels", help_text="Preference pairs of training prompts.")
    obstacles = ObstacleSerializer(
        many=True, help_text="Why it may not be switched on or, where it is on, why the next tasks are random pairs."
    )
    replay = SelectionReplaySerializer(allow_null=True, help_text="The newest replay of this acquisition.")


@extend_schema_serializer(component_name="ActiveSelectionChanges")
class ChangesSerializer(Serializer):
    on = serializers.BooleanField(required=False)
    acquisition = serializers.ChoiceField(choices=list(rules.ACQUISITIONS.items()), required=False)
    random_share = serializers.FloatField(
        min_value=rules.LEAST_RANDOM, max_value=rules.MOST_RANDOM, required=False, help_text="Share drawn at random."
    )


@extend_schema_serializer(component_name="Choice")
class ChoiceSerializer(Serializer):
    """One batch of pairs chosen from a pool."""

    id = serializers.UUIDField(source="public_id")
    number = serializers.IntegerField()
    reward_version = serializers.UUIDField(source="reward_version.public_id")
    acquisition = serializers.CharField()
    random_share = serializers.FloatField()
    temperature = serializers.FloatField(help_text="Active pairs weigh score ** (1 / temperature); 0: the highest.")
    batch = serializers.IntegerField(help_text="Pairs wanted.")
    cap = serializers.IntegerField(help_text="Pairs of one prompt at most.")
    labels = serializers.IntegerField()
    pool_pairs = serializers.IntegerField()
    pool_prompts = serializers.IntegerField()
    pool_hash = serializers.CharField(help_text="SHA-256 of the pairs, by ids of their responses.")
    seed = serializers.IntegerField()
    random_tasks = serializers.IntegerField()
    active_tasks = serializers.IntegerField()
    created_at = serializers.DateTimeField()


class ActiveSelection(ServiceView):
    scopes = {"GET": "read", "PATCH": "train"}

    @extend_schema(summary="State of active selection", responses=ActiveSelectionSerializer)
    def get(self, request: Request, project: str) -> Response:
        return Response(_state(access.get_project(self.viewer, project, access.ADMIN)))

    @extend_schema(
        summary="Change active selection",
        description="Omitted settings stay unchanged. It can be switched on once there are enough labels, the reward "
        "model is better than chance, and a replay on the project's own labels shows that it helps.",
        request=ChangesSerializer,
        responses=ActiveSelectionSerializer,
    )
    def patch(self, request: Request, project: str) -> Response:
        found = access.get_project(self.viewer, project, access.ADMIN)
        services.change(by=self.person, project=found, **self.validated(ChangesSerializer))
        return Response(_state(found))


class Replay(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Run a replay",
        description="Trains ten reward models on labels that the project already has, in a job of the queue `train`.",
        request=None,
        responses={202: JobSerializer},
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.get_project(self.viewer, project, access.ADMIN)

        def act() -> StatusAndBody:
            return 202, JobSerializer(services.request_replay(by=self.person, project=found)).data

        return self.once(act)


class Choices(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Batches of active selection", responses=ChoiceSerializer(many=True))
    def get(self, request: Request, project: str) -> Response:
        found = access.get_project(self.viewer, project, access.ADMIN)
        return self.page(Choice.objects.filter(project=found).select_related("reward_version"), ChoiceSerializer)


def _state(project: Project) -> dict[str, object]:
    return dict(ActiveSelectionSerializer(selectors.status(project)).data)
