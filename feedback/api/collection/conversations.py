"""Conversations with the serving model. Each turn is a message, two responses and the choice between them."""

from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response as Reply

from feedback.api.collection.response_streams import DESCRIPTION, EVENTS, StreamView, events, streamed
from feedback.api.fields import VerbatimField
from feedback.api.serializers import Serializer
from feedback.api.views import IN_PROJECT, ServiceView, StatusAndBody
from feedback.models import Conversation, Prompt
from feedback.selectors.collection import conversations as conversation_selectors
from feedback.selectors.platform import access
from feedback.services.collection import conversations


@extend_schema_serializer(component_name="Answer")
class LetteredResponseSerializer(Serializer):
    letter = serializers.CharField()
    state = serializers.CharField(help_text="queued, running, ready, failed or blocked.")
    text = serializers.CharField(allow_blank=True)


@extend_schema_serializer(component_name="Turn")
class TurnSerializer(Serializer):
    turn = serializers.IntegerField()
    message = serializers.CharField()
    state = serializers.CharField(help_text="writing, ready (to annotate), answered, failed or blocked.")
    sentence = serializers.CharField(allow_blank=True, help_text="Why it failed or is blocked, and what to do.")
    assignment = serializers.UUIDField(
        allow_null=True,
        help_text="Once both responses are ready: the assignment to submit at assignments/{id}/submit/.",
    )
    responses = LetteredResponseSerializer(many=True)
    answer = serializers.DictField(allow_null=True)
    goes_on = serializers.CharField(
        allow_null=True, allow_blank=True, help_text="The response the conversation continues with."
    )


class ConversationBriefSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    project = serializers.CharField(source="project.slug")
    state = serializers.SerializerMethodField(help_text="open or ended.")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    def get_state(self, row: Conversation) -> str:
        return "ended" if row.ended_at else "open"


@extend_schema_serializer(component_name="Conversation")
class ConversationSerializer(Serializer):
    id = serializers.UUIDField()
    project = serializers.CharField()
    state = serializers.CharField(help_text="open or ended.")
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    turns = TurnSerializer(many=True)


@extend_schema_serializer(component_name="NewConversation")
class NewConversationSerializer(Serializer):
    project = serializers.SlugField(max_length=60, help_text="Public id or short name.")
    text = VerbatimField(help_text="Your first message.")


class MessageOnlySerializer(Serializer):
    text = VerbatimField()


class Conversations(ServiceView):
    scopes = {"GET": "annotate", "POST": "annotate"}
    queryset = Conversation.objects.none()

    @extend_schema(
        summary="Your conversations", parameters=[IN_PROJECT], responses=ConversationBriefSerializer(many=True)
    )
    def get(self, request: Request) -> Reply:
        project = self.requested_project()
        return self.page(
            conversation_selectors.of_person(project, self.person).select_related("project"),
            ConversationBriefSerializer,
        )

    @extend_schema(
        summary="Start a conversation",
        description="Sends a first message to the serving model, which generates two responses. Stream them at "
        "turns/1/stream/.",
        request=NewConversationSerializer,
        responses={201: ConversationSerializer},
    )
    def post(self, request: Request) -> Reply:
        given = self.validated(NewConversationSerializer)
        project = self.row_named("project", access.get_project, given["project"])

        def act() -> StatusAndBody:
            turn = conversations.start(project=project, person=self.person, text=given["text"])
            assert turn.conversation is not None
            return 201, ConversationSerializer(conversation_selectors.conversation_data(turn.conversation)).data

        return self.once(act)


class OneConversation(ServiceView):
    scopes = {"GET": "annotate"}

    @extend_schema(summary="Get a conversation with its turns", responses=ConversationSerializer)
    def get(self, request: Request, id: UUID) -> Reply:
        return Reply(
            ConversationSerializer(
                conversation_selectors.conversation_data(access.get_conversation(self.viewer, id))
            ).data
        )


class Turns(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Send the next message",
        description="Allowed after the last turn was annotated. If both responses were bad or failed, this "
        "message replaces the last one; the same text requests two new responses.",
        request=MessageOnlySerializer,
        responses={201: TurnSerializer},
    )
    def post(self, request: Request, id: UUID) -> Reply:
        conversation = access.get_conversation(self.viewer, id)
        text = self.validated(MessageOnlySerializer)["text"]

        def act() -> StatusAndBody:
            turn = conversations.say(conversation=conversation, text=text)
            return 201, TurnSerializer(conversation_selectors.turn_data(turn)).data

        return self.once(act)


class OneTurn(ServiceView):
    scopes = {"GET": "annotate"}

    @extend_schema(summary="Get a turn", responses=TurnSerializer)
    def get(self, request: Request, id: UUID, turn: int) -> Reply:
        return Reply(TurnSerializer(conversation_selectors.turn_data(access.get_turn(self.viewer, id, turn))).data)


class TurnStream(StreamView):
    scopes = {"GET": "annotate"}

    @extend_schema(
        summary="Stream both responses of a turn",
        description=f"{DESCRIPTION} `of` is the letter.",
        responses=EVENTS,
    )
    def get(self, request: Request, id: UUID, turn: int) -> StreamingHttpResponse:
        return streamed(events(by_letter(access.get_turn(self.viewer, id, turn))), self.person.pk)


class TurnRetry(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="Regenerate failed responses",
        description="For responses that failed or were blocked; no effect if none is missing.",
        request=None,
        responses={202: TurnSerializer},
    )
    def post(self, request: Request, id: UUID, turn: int) -> Reply:
        found = access.get_turn(self.viewer, id, turn)

        def act() -> StatusAndBody:
            conversations.retry(turn=found)
            return 202, TurnSerializer(conversation_selectors.turn_data(found)).data

        return self.once(act)


class EndConversation(ServiceView):
    scopes = {"POST": "annotate"}

    @extend_schema(
        summary="End a conversation",
        description="An open choice is withdrawn. Idempotent.",
        request=None,
        responses=ConversationSerializer,
    )
    def post(self, request: Request, id: UUID) -> Reply:
        conversation = access.get_conversation(self.viewer, id)

        def act() -> StatusAndBody:
            return 200, ConversationSerializer(
                conversation_selectors.conversation_data(conversations.end(conversation=conversation))
            ).data

        return self.once(act)


def by_letter(turn: Prompt) -> dict[UUID, str]:
    """The responses of a turn, by public id, with the letters under which its person sees them."""
    responses = conversation_selectors.answers_of(turn)
    return {response.public_id: letter for letter, response in zip("ab", responses, strict=False)}
