"""Contests: people's blind votes compare candidate policies with the version that serves.

Annotators vote in them, so they cannot read any: not whether one runs, not how it stands, not what became of it.
"""

from collections.abc import Mapping
from dataclasses import fields
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Contest, ContestPlan, ContestUnit
from feedback.selectors.evaluation import contest_accounts
from feedback.selectors.evaluation import contests as contest_selectors
from feedback.selectors.platform import access
from feedback.services.evaluation import contests
from feedback.services.evaluation.contests import Rules

DEFAULT = Rules()


@extend_schema_serializer(component_name="ContestCandidate")
class CandidateSerializer(Serializer):
    id = serializers.UUIDField(source="model_version.public_id", help_text="Id of the model version.")
    name = serializers.CharField(source="model_version")


class ContestFindingSerializer(Serializer):
    """What spoke against a candidate when the contest was opened."""

    candidate = serializers.UUIDField()
    name = serializers.CharField()
    level = serializers.CharField()
    sentence = serializers.CharField()


class RefusalSerializer(Serializer):
    name = serializers.CharField()
    sentence = serializers.CharField()


@extend_schema_serializer(component_name="ContestBrief")
class ContestBriefSerializer(Serializer):
    """A contest with its plan, which never changes."""

    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    state = serializers.ChoiceField(choices=Contest.State.choices)
    decision = serializers.ChoiceField(
        choices=Contest.Decision.choices, allow_blank=True, help_text="Empty until it has ended."
    )
    incumbent = serializers.UUIDField(source="plan.incumbent.public_id", help_text="The version that served.")
    candidates = CandidateSerializer(source="plan.candidates.all", many=True)
    winner = serializers.UUIDField(source="winner.model_version.public_id", default=None, allow_null=True)
    cap = serializers.IntegerField(source="plan.cap", help_text="Votes after which the incumbent stays.")
    votes_per_unit = serializers.IntegerField(source="plan.votes_per_unit", help_text="People who judge each prompt.")
    alpha = serializers.FloatField(source="plan.alpha", help_text="Chance at most of promoting what is not better.")
    share = serializers.FloatField(source="plan.share", help_text="Part of the annotators' tasks it may take.")
    fresh_only = serializers.BooleanField(source="plan.fresh_only")
    promote = serializers.BooleanField(source="plan.promote", help_text="Whether a winner serves at once.")
    preconditions = serializers.ChoiceField(source="plan.preconditions", choices=ContestPlan.Preconditions.choices)
    findings = ContestFindingSerializer(many=True, help_text="Against the candidates, at opening.")
    refusal = RefusalSerializer(many=True, help_text="Why the winner was not promoted.")
    created_at = serializers.DateTimeField()
    decided_at = serializers.DateTimeField(allow_null=True)


class PartSerializer(Serializer):
    """The candidate's win rate within a part of the votes."""

    label = serializers.CharField(  # type: ignore[assignment]
        help_text="A source, or an annotator: their name for admins, else a number."
    )
    votes = serializers.IntegerField()
    win_rate = serializers.FloatField()


@extend_schema_serializer(component_name="ContestStanding")
class StandingSerializer(Serializer):
    """How a candidate stands. All figures hold at every look, however often they are read."""

    candidate = serializers.UUIDField(source="version.public_id")
    sentence = serializers.CharField()
    standing = serializers.ChoiceField(choices=["open", "won", "given_up"])
    units = serializers.IntegerField(help_text="Prompts in the evidence.")
    votes = serializers.IntegerField()
    win_rate = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True, help_text="With `high`: null where votes contradict each other.")
    high = serializers.FloatField(allow_null=True)
    evidence = serializers.FloatField(help_text="The largest E so far.")
    bar = serializers.FloatField(help_text="The E that promotes.")
    against = serializers.FloatField(help_text="The evidence against it.")
    futility_bar = serializers.FloatField(help_text="The evidence against it that gives it up.")
    p = serializers.FloatField()
    at_equal_length = serializers.FloatField(allow_null=True, help_text="Win rate with length regressed out.")
    by_annotator = PartSerializer(many=True)
    by_source = PartSerializer(many=True)
    votes_left = serializers.IntegerField(allow_null=True, help_text="Expected, if votes go on as they did.")


@extend_schema_serializer(component_name="ContestFigures")
class FiguresSerializer(Serializer):
    units = serializers.IntegerField(help_text="In the evidence, of all candidates.")
    votes = serializers.IntegerField()
    prompts = serializers.IntegerField()
    fresh = serializers.BooleanField(help_text="Whether no model can have met any of its prompts.")
    voters = serializers.IntegerField()
    handed_out = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="Complete units that wait for an earlier one.")
    voided = serializers.IntegerField(help_text="Units closed with fewer votes than they wanted.")
    identical = serializers.IntegerField(help_text="Units whose two texts were equal: half a win each.")
    revised = serializers.IntegerField(help_text="Votes revised or withdrawn later; they count as they were.")
    standings = StandingSerializer(many=True)


@extend_schema_serializer(component_name="Contest")
class ContestSerializer(ContestBriefSerializer):
    opened_by = PersonBriefSerializer(source="plan.opened_by", allow_null=True)
    waits_for = serializers.SerializerMethodField(help_text="What a running contest waits for, for people.")
    figures = serializers.SerializerMethodField()

    def get_waits_for(self, contest: Contest) -> str:
        return contest_accounts.waits_for(contest)

    @extend_schema_field(FiguresSerializer)
    def get_figures(self, contest: Contest) -> Mapping[str, object]:
        shown: Mapping[str, object] = FiguresSerializer(_figures(contest, names=self.context["names"])).data
        return shown


class NewContestSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    candidates = serializers.ListField(
        child=serializers.UUIDField(),
        min_length=1,
        max_length=contests.MOST_CANDIDATES,
        help_text="Policies to compare with the version that serves.",
    )
    cap = serializers.IntegerField(default=DEFAULT.cap, min_value=1, max_value=contests.LARGEST_CAP)
    votes_per_unit = serializers.IntegerField(default=DEFAULT.votes_per_unit, min_value=1, max_value=100)
    alpha = serializers.FloatField(default=DEFAULT.alpha, min_value=0.001, max_value=0.5)
    share = serializers.FloatField(default=DEFAULT.share, min_value=0.01, max_value=1)
    fresh_only = serializers.BooleanField(
        default=DEFAULT.fresh_only, help_text="Never use held-out prompts, however few new ones come in."
    )
    promote = serializers.BooleanField(default=DEFAULT.promote, help_text="A winner serves at once.")
    preconditions = serializers.ChoiceField(
        choices=ContestPlan.Preconditions.choices,
        default=DEFAULT.preconditions,
        help_text="`block` refuses a candidate with blocking findings, `report` only keeps them.",
    )


@extend_schema_serializer(component_name="ContestUnit")
class ContestUnitSerializer(Serializer):
    """One prompt that was judged. Who judged it is with the annotations of its task."""

    id = serializers.UUIDField(source="public_id")
    number = serializers.IntegerField(help_text="Order in which units were handed out.")
    candidate = serializers.UUIDField(source="candidate.model_version.public_id")
    propensity = serializers.FloatField(help_text="Probability with which the candidate was drawn.")
    prompt = serializers.UUIDField(source="prompt.public_id")
    source = serializers.CharField(source="prompt.source", allow_blank=True)  # type: ignore[assignment]
    fresh = serializers.SerializerMethodField(help_text="Whether no model can have met the prompt.")
    task = serializers.UUIDField(
        source="task.public_id", default=None, allow_null=True, help_text="Null where both texts were equal."
    )
    state = serializers.ChoiceField(choices=ContestUnit.State.choices)
    why_void = serializers.ChoiceField(choices=ContestUnit.Void.choices, allow_blank=True)
    votes = serializers.IntegerField()
    x = serializers.FloatField(allow_null=True, help_text="Mean of its votes for the candidate, 0 to 1.")
    log_e = serializers.FloatField(
        source="log_e_after", allow_null=True, help_text="Log of the candidate's evidence with it; null until counted."
    )
    completed_at = serializers.DateTimeField(allow_null=True)

    def get_fresh(self, unit: ContestUnit) -> bool:
        return unit.round == 0


class Contests(ServiceView):
    scopes = {"GET": "read", "POST": "train"}

    @extend_schema(
        summary="Contests of a project",
        description="For reviewers and admins, who vote in none.",
        parameters=[IN_PROJECT],
        responses=ContestBriefSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        project = self.requested_project(access.REVIEWER)
        return self.page(contest_selectors.contests_of(project).select_related("project"), ContestBriefSerializer)

    @extend_schema(
        summary="Let people compare candidates with the serving version",
        description="One contest of a project runs at a time. Its plan never changes. It ends when the evidence "
        "suffices, when it cannot any more, at the cap, or when another version serves.",
        request=NewContestSerializer,
        responses={201: ContestBriefSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewContestSerializer)
        project = self.row_named("project", access.get_project, given["project"], access.ADMIN)
        candidates = [self.row_named("candidates", access.get_model, one) for one in given["candidates"]]
        rules = Rules(**{one.name: given[one.name] for one in fields(Rules)})

        def act() -> StatusAndBody:
            opened = contests.open_contest(by=self.person, project=project, candidates=candidates, rules=rules)
            return 201, ContestBriefSerializer(opened).data

        return self.once(act)


class OneContest(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="A contest and how it stands",
        description="For reviewers and admins, who vote in none. Names of annotators are for admins.",
        responses=ContestSerializer,
    )
    def get(self, request: Request, id: UUID) -> Response:
        contest = access.get_contest(self.viewer, id)
        names = access.may(self.viewer, contest.project, access.ADMIN)
        return Response(ContestSerializer(contest, context={"names": names}).data)


class ContestUnits(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        summary="Units of a contest",
        description="Those that were handed out: their values in the order of their numbers give the evidence again.",
        responses=ContestUnitSerializer(many=True),
    )
    def get(self, request: Request, id: UUID) -> Response:
        return self.page(_units(access.get_contest(self.viewer, id)), ContestUnitSerializer)


class PauseContest(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Pause a contest",
        description="No more of its tasks are given out; what is held may be sent, and counts.",
        request=None,
        responses=ContestBriefSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        contest = access.get_contest(self.viewer, id, access.ADMIN)
        return self.once(lambda: (200, ContestBriefSerializer(contests.pause(by=self.person, contest=contest)).data))


class ResumeContest(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(summary="Resume a paused contest", request=None, responses=ContestBriefSerializer)
    def post(self, request: Request, id: UUID) -> Response:
        contest = access.get_contest(self.viewer, id, access.ADMIN)
        return self.once(lambda: (200, ContestBriefSerializer(contests.resume(by=self.person, contest=contest)).data))


class StopContest(ServiceView):
    scopes = {"POST": "train"}

    @extend_schema(
        summary="Stop a contest",
        description="It ends without a decision: the serving version stays. It cannot be resumed.",
        request=None,
        responses=ContestBriefSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        contest = access.get_contest(self.viewer, id, access.ADMIN)
        return self.once(lambda: (200, ContestBriefSerializer(contests.stop(by=self.person, contest=contest)).data))


def _units(contest: Contest) -> QuerySet[ContestUnit]:
    rows = ContestUnit.objects.filter(contest=contest, number__isnull=False)
    return rows.select_related("candidate__model_version", "prompt", "task")


def _figures(contest: Contest, *, names: bool) -> dict[str, object]:
    """For `FiguresSerializer`. `names`: whether annotators are named."""
    found = contest_selectors.figures(contest)
    standings = []
    for candidate in found.candidates:
        standing = {one.name: getattr(candidate, one.name) for one in fields(candidate)}
        standing["sentence"] = contest_accounts.sentence(found, candidate)
        standing["by_annotator"] = contest_accounts.annotators(candidate, names=names)
        standings.append(standing)
    return {one.name: getattr(found, one.name) for one in fields(found)} | {"standings": standings}
