"""The arena: the leaderboard of model versions from people's blind comparisons."""

from collections.abc import Sequence

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.fields import PersonBriefSerializer
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView
from feedback.rules.evaluation.arena_board import Board, Share
from feedback.rules.json_types import JsonObject
from feedback.selectors.collection import blindness
from feedback.selectors.evaluation import arena
from feedback.selectors.platform import access


@extend_schema_serializer(component_name="ArenaShare")
class ShareSerializer(Serializer):
    """Votes of one model. A tie, or both bad, is half a win for each."""

    wins = serializers.FloatField()
    votes = serializers.IntegerField()


@extend_schema_serializer(component_name="ArenaStanding")
class StandingSerializer(Serializer):
    """One model of the leaderboard, the strongest first."""

    rank = serializers.IntegerField()
    name = serializers.CharField()
    model = serializers.UUIDField(allow_null=True, help_text="Its version; null for a model known by name only.")
    score = serializers.FloatField(help_text="Chance to be preferred to a model of average strength.")
    low = serializers.FloatField(allow_null=True, help_text="95 % interval by prompt; null for too few prompts.")
    high = serializers.FloatField(allow_null=True)
    best = serializers.FloatField(allow_null=True, help_text="Chance to be the strongest of all.")
    wins = serializers.FloatField()
    votes = serializers.IntegerField()
    against = serializers.ListField(
        child=ShareSerializer(allow_null=True), help_text="By model, in this order; null where they never met."
    )


@extend_schema_serializer(component_name="ArenaSource")
class SourceSerializer(Serializer):
    source = serializers.CharField()  # type: ignore[assignment]
    votes = serializers.IntegerField()
    shares = serializers.ListField(child=ShareSerializer(allow_null=True), help_text="By model, as in `standings`.")


@extend_schema_serializer(component_name="ArenaAnnotator")
class AnnotatorSerializer(Serializer):
    person = PersonBriefSerializer(allow_null=True, help_text="Null for callers who are neither reviewer nor admin.")
    votes = serializers.IntegerField()
    shares = serializers.ListField(child=ShareSerializer(allow_null=True), help_text="By model, as in `standings`.")


@extend_schema_serializer(component_name="Arena")
class ArenaSerializer(Serializer):
    """What people prefer. It decides nothing: only a contest or an admin changes what serves."""

    standings = StandingSerializer(many=True)
    battles = StandingSerializer(many=True, help_text="From battles, whose votes count apart.")
    sources = SourceSerializer(many=True)
    annotators = AnnotatorSerializer(many=True)
    votes = serializers.IntegerField()
    prompts = serializers.IntegerField()
    connected = serializers.BooleanField(help_text="Whether every model was compared with all, if by way of others.")
    left_out = serializers.IntegerField(help_text="Annotations not counted: not blind, or by excluded annotators.")
    waiting = serializers.IntegerField(
        allow_null=True, help_text="Votes of a running contest, which count once it has ended; null for annotators."
    )
    at = serializers.DateTimeField(help_text="When it was computed: up to a minute ago with many votes.")


class Arena(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="arena_retrieve",
        summary="Leaderboard of model versions",
        description="From blind comparisons of two different models, for members of the project. It decides nothing. "
        "While a contest runs, annotators see it as it stood when the contest was opened.",
        parameters=[IN_PROJECT],
        responses=ArenaSerializer,
    )
    def get(self, request: Request) -> Response:
        project = self.requested_project()
        named = access.may(self.viewer, project, access.REVIEWER)
        until = blindness.shown_until(project, self.person)
        return Response(ArenaSerializer(_body(arena.arena(project, until), named=named)).data)


def _body(found: arena.Arena, *, named: bool) -> JsonObject:
    """The leaderboard as the API shows it; with the names of annotators, or without."""
    sources = [{"source": one.group, "votes": one.votes, "shares": _shares(one.shares)} for one in found.sources]
    annotators = [
        {"person": one.group if named else None, "votes": one.votes, "shares": _shares(one.shares)}
        for one in found.annotators
    ]
    return {
        "standings": _standings(found, found.board),
        "battles": _standings(found, found.battles),
        "sources": sources,
        "annotators": annotators,
        "votes": found.votes,
        "prompts": found.board.prompts,
        "connected": found.board.connected,
        "left_out": found.left_out,
        "waiting": found.waiting if named else None,  # it would tell who votes which of the tasks were a contest's
        "at": found.at,
    }


def _shares(shares: Sequence[Share | None]) -> list[JsonObject | None]:
    return [None if one is None else {"wins": one.wins, "votes": one.votes} for one in shares]


def _standings(found: arena.Arena, board: Board[arena.Entrant]) -> list[JsonObject]:
    standings: list[JsonObject] = []
    for one in board.standings:
        version = None if one.entrant.version is None else found.versions[one.entrant.version]
        standings.append(
            {
                "rank": one.rank,
                "name": found.names[one.entrant],
                "model": None if version is None else version.public_id,
                "score": one.score,
                "low": one.low,
                "high": one.high,
                "best": one.best,
                "wins": one.wins,
                "votes": one.votes,
                "against": _shares(one.against),
            }
        )
    return standings
