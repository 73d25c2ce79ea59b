"""People: the caller and, for site admins, all accounts."""

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from feedback.api.serializers import Serializer
from feedback.api.views import ServiceView
from feedback.errors import Forbidden
from feedback.models import Person
from feedback.rules.json_types import JsonObject
from feedback.selectors.platform import access, projects
from feedback.services.platform import people


class SeatSerializer(Serializer):
    project = serializers.CharField(source="project.slug")
    role = serializers.CharField()


@extend_schema_serializer(component_name="Person")
class PersonSerializer(Serializer):
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
class NewPersonSerializer(Serializer):
    username = serializers.RegexField(r"^[\w.@+-]+$", max_length=150)
    password = serializers.CharField(max_length=200, trim_whitespace=False, write_only=True)
    display_name = serializers.CharField(max_length=150, allow_blank=True, default="")


class People(ServiceView):
    scopes = {"GET": "admin", "POST": "admin"}

    @extend_schema(summary="All people", description="For site admins.", responses=PersonSerializer(many=True))
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
        given = self.validated(NewPersonSerializer)
        return self.once(lambda: (201, PersonSerializer(people.create_person(by=self.person, **given)).data))


class Me(ServiceView):
    scopes = {"GET": "read"}

    @extend_schema(summary="Get your account and permissions", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        viewer = self.viewer
        seats = projects.seats(viewer, access.projects_for(viewer))
        reply: JsonObject = dict(PersonSerializer(viewer.person).data)
        reply["seats"] = SeatSerializer(seats, many=True).data
        reply["scopes"] = None
        if viewer.token is not None:
            reply["scopes"] = sorted(viewer.token.scopes)
        return Response(reply)


def require_site_admin(viewer: access.Viewer) -> None:
    """Check that the caller is a site admin. A token for one project does not act for the whole site.

    Raises:
        Forbidden: the caller is not a site admin, or the token is for one project.
    """
    if not viewer.person.is_site_admin or (viewer.token is not None and viewer.token.project_id is not None):
        raise Forbidden("Only a site admin may do that, with a token for all projects.")
