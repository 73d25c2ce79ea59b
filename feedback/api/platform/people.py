"""People: who you are, and (for site admins) who can sign in."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.views import ServiceView
from feedback.errors import Forbidden
from feedback.models import Person
from feedback.selectors.platform import access, members
from feedback.services.platform import people


class SeatSerializer(serializers.Serializer[Any]):
    project = serializers.CharField(source="project.slug")
    role = serializers.CharField()


@extend_schema_serializer(component_name="Person")
class PersonSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="public_id")
    username = serializers.CharField(allow_null=True)
    name = serializers.CharField(source="display_name")
    status = serializers.ChoiceField(choices=Person.Status.choices)
    is_site_admin = serializers.BooleanField()
    source = serializers.CharField(allow_blank=True, help_text="Source of a person without a sign-in.")  # type: ignore[assignment]
    created_at = serializers.DateTimeField()


@extend_schema_serializer(component_name="Me")
class MeSerializer(PersonSerializer):
    seats = SeatSerializer(many=True)
    scopes = serializers.ListField(child=serializers.CharField(), allow_null=True, help_text="Of the token used.")


@extend_schema_serializer(component_name="NewPerson")
class NewPersonSerializer(serializers.Serializer[Any]):
    username = serializers.RegexField(r"^[\w.@+-]+$", max_length=150)
    password = serializers.CharField(max_length=200, trim_whitespace=False, write_only=True)
    display_name = serializers.CharField(max_length=150, allow_blank=True, default="")


class People(ServiceView):
    scopes = {"GET": "admin", "POST": "admin"}

    @extend_schema(summary="Everybody", description="For site admins.", responses=PersonSerializer(many=True))
    def get(self, request: Request) -> Response:
        require_site_admin(self.viewer)
        return self.page(Person.objects.all(), PersonSerializer)

    @extend_schema(
        summary="Create an account",
        description="For site admins. Give it a role in a project with projects/{project}/members/.",
        request=NewPersonSerializer,
        responses={201: PersonSerializer},
    )
    def post(self, request: Request) -> Response:
        require_site_admin(self.viewer)
        given = self.read(NewPersonSerializer)
        return self.once(lambda: (201, PersonSerializer(people.create_person(by=self.person, **given)).data))


class Me(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Get your account and permissions", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        viewer = self.viewer
        seats = members.seats(viewer, access.projects_for(viewer))
        more = {
            "seats": SeatSerializer(seats, many=True).data,
            "scopes": sorted(viewer.token.scopes) if viewer.token else None,
        }
        return Response(PersonSerializer(viewer.person).data | more)


def require_site_admin(viewer: access.Viewer) -> None:
    """A token narrowed to a project does not speak for the house."""
    if not viewer.person.is_site_admin or (viewer.token is not None and viewer.token.project_id is not None):
        raise Forbidden("Only a site admin may do that, with a token for all projects.")
