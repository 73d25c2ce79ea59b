"""Campaigns: rounds of collecting, training and comparing that run unattended."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import ObjectField
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Campaign, CampaignRound, ContestPlan, Stage
from feedback.rules.training import campaign_plans
from feedback.selectors.platform import access
from feedback.selectors.training import campaigns as campaign_selectors
from feedback.services.evaluation import contests
from feedback.services.evaluation.contests import Rules
from feedback.services.training import campaigns

MOST_LABELS = 10**9
BUDGET = {"min_value": 2, "max_value": MOST_LABELS, "help_text": "Labels of all rounds together, votes included."}


@extend_schema_serializer(component_name="CampaignContest")
class ContestSettingsSerializer(Serializer):
    """Of the comparison by people that ends each round."""

    cap = serializers.IntegerField(
        min_value=1,
        max_value=contests.LARGEST_CAP,
        default=campaigns.DEFAULT_CAP,
        help_text="Votes after which the incumbent stays.",
    )
    votes_per_unit = serializers.IntegerField(
        min_value=1, max_value=100, default=1, help_text="People who judge each prompt."
    )
    alpha = serializers.FloatField(
        min_value=0.001, max_value=0.5, default=0.05, help_text="Chance at most of promoting what is not better."
    )
    share = serializers.FloatField(
        min_value=0.01,
        max_value=1,
        default=contests.DEFAULT_SHARE,
        help_text="Part of the annotators' tasks that it may take.",
    )
    fresh_only = serializers.BooleanField(default=False, help_text="Only prompts that neither model can have met.")
    preconditions = serializers.ChoiceField(
        choices=ContestPlan.Preconditions.choices,
        default=ContestPlan.Preconditions.BLOCK,
        help_text="`block`: findings refuse a candidate. `report`: they are kept, and people decide.",
    )


@extend_schema_serializer(component_name="Campaign")
class CampaignSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField()
    state = serializers.ChoiceField(choices=Campaign.State.choices)
    stages = serializers.ListField(child=serializers.CharField(), source="plan.stages")
    config = serializers.DictField(source="plan.config")
    after_labels = serializers.IntegerField(source="plan.after_labels", allow_null=True)
    every_seconds = serializers.IntegerField(source="plan.every_seconds", allow_null=True)
    promote = serializers.ChoiceField(source="plan.promote", choices=campaign_plans.PROMOTIONS)
    contest = ContestSettingsSerializer(source="plan.contest")
    budget = serializers.IntegerField()
    used = serializers.SerializerMethodField(help_text="Labels of the budget that are used up.")
    waits_for = serializers.SerializerMethodField(help_text="In words; empty where the next step is due.")
    trouble = serializers.CharField(allow_blank=True, help_text="Why its last step could not be taken.")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_used(self, campaign: Campaign) -> int:
        return campaign_selectors.labels_used(campaign)

    def get_waits_for(self, campaign: Campaign) -> str:
        return campaign_selectors.waits_for(campaign)


class EvidenceSerializer(Serializer):
    e = serializers.FloatField(help_text="The largest E so far; it promotes at `bar`.")
    bar = serializers.FloatField()
    win_rate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)
    votes = serializers.IntegerField()
    voters = serializers.IntegerField()
    units = serializers.IntegerField(help_text="Prompts in the evidence.")


class RoundFindingSerializer(Serializer):
    name = serializers.CharField()
    sentence = serializers.CharField()


@extend_schema_serializer(component_name="CampaignRound")
class RoundSerializer(Serializer):
    """A round on the staircase."""

    number = serializers.IntegerField(source="round.number")
    state = serializers.ChoiceField(source="round.state", choices=CampaignRound.State.choices)
    decision = serializers.ChoiceField(
        source="round.decision", choices=CampaignRound.Decision.choices, allow_blank=True, help_text="Once decided."
    )
    reason = serializers.CharField(source="round.reason", allow_blank=True, help_text="Why it ended as it did.")
    findings = RoundFindingSerializer(source="round.findings", many=True, help_text="Against the candidate.")
    waits_for = serializers.CharField(allow_blank=True)
    labels = serializers.SerializerMethodField(help_text="Labels given in it, by arm.")
    chain = serializers.UUIDField(source="round.chain.public_id", default=None, allow_null=True)
    snapshot = serializers.UUIDField(source="round.chain.snapshot.public_id", default=None, allow_null=True)
    versions = serializers.SerializerMethodField(help_text="Model versions made in it, in the order of stages.")
    candidate = serializers.UUIDField(source="round.candidate.public_id", default=None, allow_null=True)
    contest = serializers.UUIDField(source="round.contest.public_id", default=None, allow_null=True)
    evidence = EvidenceSerializer(allow_null=True)
    serves = serializers.UUIDField(
        source="serves.public_id", default=None, allow_null=True, help_text="What served when it ended."
    )
    people_seconds = serializers.FloatField(help_text="Spent on its labels.")
    training_seconds = serializers.FloatField(help_text="Its runs took on the worker.")
    cpu_seconds = serializers.FloatField(help_text="CPU time of its trainers that have ended.")
    started_at = serializers.DateTimeField(source="round.created_at")
    ended_at = serializers.DateTimeField(source="round.ended_at", allow_null=True)

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_labels(self, column: campaign_selectors.Column) -> dict[str, int]:
        return {one.arm: one.count for one in column.labels}

    @extend_schema_field(serializers.ListField(child=serializers.UUIDField()))
    def get_versions(self, column: campaign_selectors.Column) -> list[str]:
        return [str(version.public_id) for version in column.versions]


@extend_schema_serializer(component_name="CampaignWithRounds")
class StaircaseSerializer(CampaignSerializer):
    rounds = serializers.SerializerMethodField(help_text=f"The newest {campaign_selectors.MOST_ROUNDS}, oldest first.")

    @extend_schema_field(RoundSerializer(many=True))
    def get_rounds(self, campaign: Campaign) -> object:
        return RoundSerializer(campaign_selectors.staircase(campaign), many=True).data


@extend_schema_serializer(component_name="NewCampaign")
class NewCampaignSerializer(Serializer):
    """Exactly one of after_labels and every_seconds."""

    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    name = serializers.CharField(max_length=120)
    stages = serializers.ListField(
        child=serializers.ChoiceField(choices=Stage.choices),
        min_length=1,
        max_length=len(Stage),
        help_text="One that makes a policy and `evaluate` among them.",
    )
    after_labels = serializers.IntegerField(
        min_value=1, max_value=MOST_LABELS, required=False, allow_null=True, help_text="Train after so many labels."
    )
    every_seconds = serializers.IntegerField(
        min_value=campaign_plans.SHORTEST_SECONDS,
        max_value=366 * 86_400,
        required=False,
        allow_null=True,
        help_text="Train so many seconds after the round began.",
    )
    config = ObjectField(required=False)
    budget = serializers.IntegerField(**BUDGET)  # type: ignore[arg-type]
    contest = ContestSettingsSerializer(required=False)
    promote = serializers.ChoiceField(
        choices=campaign_plans.PROMOTIONS,
        default="automatically",
        help_text="`automatically`: what people prefer serves at once. `ask`: an admin decides.",
    )


class BudgetSerializer(Serializer):
    budget = serializers.IntegerField(**BUDGET)  # type: ignore[arg-type]


class Campaigns(ServiceView):
    scopes = {"GET": "read", "POST": "train"}

    @extend_schema(summary="Campaigns", parameters=[IN_PROJECT], responses=CampaignSerializer(many=True))
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.ADMIN)
        return self.page(campaign_selectors.campaigns_of(project), CampaignSerializer)

    @extend_schema(
        summary="Create a campaign",
        description="It begins its first round at once. One campaign of a project is running or paused at a time.",
        request=NewCampaignSerializer,
        responses={201: CampaignSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewCampaignSerializer)
        project = self.row_named("project", access.get_project, given.pop("project"), access.ADMIN)
        if "contest" in given:
            given["contest"] = Rules(**given["contest"])

        def act() -> StatusAndBody:
            campaign = campaigns.create_campaign(by=self.person, project=project, **given)
            return 201, CampaignSerializer(campaign).data

        return self.once(act)


class OneCampaign(ServiceView):
    scopes = {"GET": "read", "PATCH": "train"}

    @extend_schema(summary="A campaign with its rounds", responses=StaircaseSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(StaircaseSerializer(access.get_campaign(self.viewer, id)).data)

    @extend_schema(
        summary="Change the budget of a campaign",
        description="Below what is used up, it ends after its present round.",
        request=BudgetSerializer,
        responses=CampaignSerializer,
    )
    def patch(self, request: Request, id: UUID) -> Response:
        campaign = access.get_campaign(self.viewer, id)
        budget = self.validated(BudgetSerializer)["budget"]
        campaign = campaigns.change_budget(by=self.person, campaign=campaign, budget=budget)
        return Response(CampaignSerializer(campaign).data)


class PauseCampaign(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Pause a campaign",
        description="It takes no further step. A pipeline run or comparison that goes on does so.",
        request=None,
        responses=CampaignSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        campaign = access.get_campaign(self.viewer, id)
        return Response(CampaignSerializer(campaigns.pause(by=self.person, campaign=campaign)).data)


class ResumeCampaign(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(summary="Resume a campaign", request=None, responses=CampaignSerializer)
    def post(self, request: Request, id: UUID) -> Response:
        campaign = access.get_campaign(self.viewer, id)
        return Response(CampaignSerializer(campaigns.resume(by=self.person, campaign=campaign)).data)


class EndCampaign(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="End a campaign",
        description="Its pipeline run is canceled and its comparison stopped. Versions and labels stay.",
        request=None,
        responses=CampaignSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        campaign = access.get_campaign(self.viewer, id)
        return Response(CampaignSerializer(campaigns.end(by=self.person, campaign=campaign)).data)
