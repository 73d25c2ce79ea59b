"""What a token may do is what its person may do, narrowed to its scopes and its project."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from feedback.models import ApiToken, Person, Project
from feedback.services.platform import tokens
from tests.factories import make_prompt

pytestmark = pytest.mark.database

URL = "/api/v1/tokens/"


def code(reply) -> str:
    return reply.json()["errors"][0]["code"]


def test_without_a_token_there_is_nothing(project):
    reply = APIClient().get("/api/v1/projects/")
    assert (reply.status_code, code(reply)) == (401, "not_authenticated")
    assert reply["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", ["Bearer", "Bearer a b", "Bearer ts_guess", "bearer \xff"])
def test_a_wrong_token_is_refused(project, header):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=header)
    reply = client.get("/api/v1/projects/")
    assert (reply.status_code, code(reply)) == (401, "authentication_failed")


def test_revoked_expired_and_suspended_tokens_are_refused(project, ben, client_for):
    revoked, expired, suspended = client_for(ben), client_for(ben), client_for(ben)
    tokens = list(ApiToken.objects.order_by("pk"))
    assert revoked.delete(f"{URL}{tokens[0].public_id}/").status_code == 204
    ApiToken.objects.filter(pk=tokens[1].pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert suspended.get("/api/v1/people/me/").status_code == 200
    Person.objects.filter(pk=ben.pk).update(status="suspended")
    for client in (revoked, expired, suspended):
        assert client.get("/api/v1/people/me/").status_code == 401


def test_each_door_asks_for_its_scope(project, ada, client_for):
    prompt = make_prompt(project, by=ada)
    calls = {
        "read": [
            ("get", f"prompts/{prompt.public_id}/"),
            ("get", "quality/?project=desk"),
            ("get", "jobs/?project=desk"),
        ],
        "annotate": [("post", "tasks/next/")],
        "submit": [("post", "prompts/"), ("post", "feedback/"), ("post", "tasks/")],
        "data": [("get", "preferences/?project=desk"), ("post", "preferences/"), ("post", "snapshots/")],
        "train": [("post", "training-runs/"), ("post", "chains/"), ("post", "campaigns/"), ("post", "schedules/")],
        "admin": [
            ("get", "events/?project=desk"),
            ("get", "tokens/"),
            ("patch", "projects/desk/"),
            ("post", "people/"),
        ],
    }
    for has in calls:
        client = client_for(ada, has)
        for needs, paths in calls.items():
            for method, path in paths:
                reply = getattr(client, method)(f"/api/v1/{path}", {} if method != "get" else None)
                lacks = reply.status_code == 403 and code(reply) == "insufficient_scope"
                assert lacks == (has != needs), (has, needs, path, reply.content)


def test_a_scope_gives_no_role(project, ben, client_for):
    client = client_for(ben)
    assert client.post("/api/v1/chains/", {"project": "desk", "stages": ["sft"]}).status_code == 403
    assert client.patch("/api/v1/projects/desk/", {"name": "Mine"}).status_code == 403
    assert Project.objects.get().name == "Support desk"


def test_a_token_of_a_project_sees_that_project_only(project, other_project, hana, client_for):
    client = client_for(hana, project=project)
    assert [one["slug"] for one in client.get("/api/v1/projects/").json()["results"]] == ["desk"]
    assert client.get("/api/v1/projects/elsewhere/").status_code == 404
    assert client.get("/api/v1/tasks/?project=elsewhere").status_code == 404
    assert client.get("/api/v1/people/").status_code == 403
    assert client.get("/api/v1/people/me/").json()["seats"] == [{"project": "desk", "role": "admin"}]


def test_a_token_makes_only_lesser_tokens(project, other_project, hana, client_for):
    narrow = client_for(hana, "admin", "read", project=project)
    wider = narrow.post(URL, {"name": "n", "scopes": ["read", "train"]})
    assert (wider.status_code, code(wider)) == (403, "insufficient_scope")
    assert narrow.post(URL, {"name": "n", "scopes": ["read"], "project": "elsewhere"}).status_code == 404
    for given in ({}, {"project": None}):
        made = narrow.post(URL, {"name": "n", "scopes": ["read"], **given})
        assert (made.status_code, made.json()["project"]) == (201, "desk")

    ends = timezone.now() + timedelta(hours=1)
    _, secret = tokens.create_token(person=hana, name="short", scopes=["admin"], expires_at=ends)
    short = APIClient()
    short.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    longer = {"expires_at": (ends + timedelta(days=1)).isoformat()}
    requests: tuple[dict[str, str], ...] = ({}, longer)
    for more in requests:
        short.post(URL, {"name": "child", "scopes": ["admin"], **more})
    assert set(ApiToken.objects.filter(name="child").values_list("expires_at", flat=True)) == {ends}


def test_a_secret_is_shown_once_and_works(project, ben, client_for):
    made = client_for(ben).post(URL, {"name": "mine", "scopes": ["read"]}).json()
    assert made["prefix"] == made["secret"][:8]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {made['secret']}")
    assert client.get("/api/v1/people/me/").json()["scopes"] == ["read"]
    listed = client_for(ben).get(URL)
    assert made["secret"] not in listed.content.decode()
    assert not ApiToken.objects.filter(digest=made["secret"]).exists()


def test_nobody_sees_or_revokes_anothers_token(project, ada, ben, client_for):
    client_for(ben)
    token = ApiToken.objects.get(person=ben)
    client = client_for(ada)
    assert client.delete(f"{URL}{token.public_id}/").status_code == 404
    assert str(token.public_id) not in client.get(URL).content.decode()
    token.refresh_from_db()
    assert token.revoked_at is None


def test_unknown_scopes_are_refused(project, ben, client_for):
    for scopes in (["everything"], [], "read"):
        assert client_for(ben).post(URL, {"name": "n", "scopes": scopes}).status_code == 400
    assert not ApiToken.objects.filter(name="n").exists()


def test_the_signed_in_page_calls_with_its_session_and_csrf(project, ben):
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(ben)
    assert client.get("/api/v1/people/me/").json()["scopes"] is None
    refused = client.post("/api/v1/prompts/", {"project": "desk", "text": "a"})
    assert refused.status_code == 403
    client.get("/")  # any page sets the cookie; make one by hand if this one does not
    client.cookies["csrftoken"] = "a" * 32
    taken = client.post("/api/v1/prompts/", {"project": "desk", "text": "a"}, HTTP_X_CSRFTOKEN="a" * 32)
    assert taken.status_code == 201


def test_guessing_is_slow(project, settings):
    settings.THROTTLE_ADDRESS = "3/min"
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer ts_guess")
    replies = [client.get("/api/v1/projects/") for _ in range(5)]
    assert [reply.status_code for reply in replies[:3]] == [401] * 3
    assert replies[-1].status_code == 429
    assert int(replies[-1]["Retry-After"]) > 0
