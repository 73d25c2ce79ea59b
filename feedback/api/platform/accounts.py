"""Accounts of people, for site admins: invitations, links to reset a password, suspension."""

from collections.abc import Callable
from typing import cast
from uuid import UUID

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.platform.people import PersonSerializer, require_site_admin
from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView, StatusAndBody
from feedback.models import AccountLink, Membership, Person
from feedback.selectors.platform import access
from feedback.services.platform import account_links, account_mail, accounts
from feedback.services.platform.people import USERNAME

LINK_DESCRIPTION = (
    "Returns the address of a page where the person sets the password. It works once. The service sends it by e-mail "
    "if it has a mail server and the person an address."
)


@extend_schema_serializer(component_name="NewInvitation")
class NewInvitationSerializer(Serializer):
    username = serializers.RegexField(rf"^{USERNAME.pattern}$", max_length=150)
    display_name = serializers.CharField(max_length=150, allow_blank=True, default="")
    email = serializers.EmailField(allow_blank=True, default="")
    project = serializers.SlugField(max_length=60, required=False, allow_null=True)
    role = serializers.ChoiceField(choices=Membership.Role.choices, default=Membership.Role.ANNOTATOR)


@extend_schema_serializer(component_name="AccountLink")
class AccountLinkSerializer(Serializer):
    person = PersonSerializer()
    address = serializers.CharField(
        allow_null=True, help_text="Shown once, in the first reply only: it is not stored, so a repeat gets null."
    )
    emailed = serializers.BooleanField(help_text="Whether the mail server took it.")
    expires_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="SignOut")
class SignOutSerializer(Serializer):
    tokens = serializers.BooleanField(default=False, help_text="Revoke the API tokens as well.")


class AccountView(ServiceView):
    """A view about an account, for site admins."""

    def account(self, key: UUID) -> Person:
        person = access.get_person(self.viewer, key)  # first: strangers do not learn who exists
        require_site_admin(self.viewer)
        return person

    def link_reply(self, link: AccountLink, secret: str) -> dict[str, object]:
        """The reply with a new link. A stored copy of it must not hold the address."""
        emailed = account_mail.send(link, secret)
        address = account_mail.public_address(secret)
        if not address.startswith("http"):
            address = self.request.build_absolute_uri(address)
        self.addresses.append(address)
        shown = {"person": link.person, "address": None, "emailed": emailed, "expires_at": link.expires_at}
        return cast(dict[str, object], AccountLinkSerializer(shown).data)

    def once_with_address(self, act: Callable[[], StatusAndBody]) -> Response:
        self.addresses: list[str] = []
        reply = self.once(act)
        if self.addresses:
            reply.data["address"] = self.addresses[0]
        return reply


class Invitations(AccountView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Invite a person",
        description=f"For site admins, and for admins of the project. {LINK_DESCRIPTION}",
        request=NewInvitationSerializer,
        responses={201: AccountLinkSerializer},
    )
    def post(self, request: Request) -> Response:
        given = self.validated(NewInvitationSerializer)
        key = given.pop("project", None)
        if key is None:
            require_site_admin(self.viewer)
        else:
            given["project"] = self.row_named("project", access.get_project, key, access.ADMIN)

        def act() -> StatusAndBody:
            return 201, self.link_reply(*account_links.invite(by=self.person, **given))

        return self.once_with_address(act)


class PasswordLink(AccountView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Create a password link",
        description=f"For site admins. Earlier links of the person stop working. {LINK_DESCRIPTION}",
        request=None,
        responses={201: AccountLinkSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:
        person = self.account(id)

        def act() -> StatusAndBody:
            return 201, self.link_reply(*account_links.create_link(by=self.person, person=person))

        return self.once_with_address(act)


class OnePerson(AccountView):
    scopes = {"GET": "admin"}

    @extend_schema(summary="Get an account", description="For site admins.", responses=PersonSerializer)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(PersonSerializer(self.account(id)).data)


class Suspend(AccountView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Suspend a person",
        description=(
            "For site admins. Sessions end, tokens and links are revoked, and held tasks go back to the queue. "
            "Annotations stay."
        ),
        request=None,
        responses=PersonSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        person = self.account(id)
        accounts.suspend(by=self.person, person=person)
        return Response(PersonSerializer(person).data)


class Reinstate(AccountView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="Reinstate a suspended person",
        description="For site admins. They can sign in again. Their tokens stay revoked.",
        request=None,
        responses=PersonSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        person = self.account(id)
        accounts.reinstate(by=self.person, person=person)
        return Response(PersonSerializer(person).data)


class SignOutEverywhere(AccountView):
    scopes = {"POST": "admin"}

    @extend_schema(
        summary="End all sessions of a person",
        description="For site admins.",
        request=SignOutSerializer,
        responses=PersonSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:
        person = self.account(id)
        given = self.validated(SignOutSerializer)
        accounts.sign_out_everywhere(by=self.person, person=person, tokens=given["tokens"])
        return Response(PersonSerializer(person).data)
