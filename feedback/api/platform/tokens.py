"""The API tokens of the caller."""

from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer, ValidatedData
from feedback.api.views import ServiceView, StatusAndBody
from feedback.models import ApiToken
from feedback.rules.platform.scopes import SCOPES
from feedback.selectors.platform import access
from feedback.services.platform import tokens


@extend_schema_serializer(component_name="Token")
class TokenSerializer(Serializer):
    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="Its first characters, to distinguish tokens.")
    project = serializers.CharField(
        source="project.slug", default=None, allow_null=True, help_text="Null: all your projects."
    )
    scopes = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


@extend_schema_serializer(component_name="TokenWithSecret")
class TokenWithSecretSerializer(TokenSerializer):
    secret = serializers.CharField(
        allow_null=True, help_text="Shown once, in the first reply only: it is not stored, so a repeat gets null."
    )


@extend_schema_serializer(component_name="NewToken")
class NewTokenSerializer(Serializer):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=list(SCOPES.items())), min_length=1, max_length=20
    )
    project = serializers.SlugField(max_length=60, required=False, allow_null=True, help_text="For this project only.")
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class Tokens(ServiceView):
    scopes = {"GET": "admin", "POST": "admin"}

    @extend_schema(summary="Your tokens", responses=TokenSerializer(many=True))
    def get(self, request: Request) -> Response:
        return self.page(access.tokens_of(self.viewer), TokenSerializer)

    @extend_schema(
        summary="Create a token",
        description="A token cannot create a token with wider scopes, other projects or a longer lifetime.",
        request=NewTokenSerializer,
        responses={201: TokenWithSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewTokenSerializer)
        project = given.pop("project", None)
        if project is not None:
            given["project"] = access.get_project(self.viewer, project)
        self._limit_to(self.viewer.token, given)
        secrets: list[str] = []

        def act() -> StatusAndBody:
            token, secret = tokens.create_token(person=self.person, **given)
            secrets.append(secret)
            return 201, TokenSerializer(token).data | {"secret": None}

        reply = self.once(act)  # the stored reply holds no secret
        if secrets:
            reply.data["secret"] = secrets[0]
        return reply

    def _limit_to(self, own: ApiToken | None, given: ValidatedData) -> None:
        """Limit the new token to the project and the expiry of the calling token.

        Raises:
            PermissionDenied: the new token would have a wider scope.
        """
        if own is None:
            return
        if own.project_id is not None:
            given.setdefault("project", own.project)
        wider = sorted(set(given["scopes"]) - set(own.scopes))
        ends = given.get("expires_at")
        if own.expires_at is not None and (ends is None or ends > own.expires_at):
            given["expires_at"] = own.expires_at
        if wider:
            raise PermissionDenied(
                f"This token lacks {wider}, so it cannot give these scopes to another token.", code="insufficient_scope"
            )


class OneToken(ServiceView):
    scopes = {"DELETE": "admin"}

    @extend_schema(summary="Revoke a token", description="Takes effect at once. Idempotent.", responses={204: None})
    def delete(self, request: Request, id: UUID) -> Response:
        tokens.revoke_token(by=self.person, token=access.get_token(self.viewer, id))
        return Response(status=status.HTTP_204_NO_CONTENT)
