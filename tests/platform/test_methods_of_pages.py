"""A page is asked for by GET and acted on by POST; nothing else is answered as if it were one of these."""

import pytest

PATHS = ("/", "/sign-in/", "/account/", "/p/desk/", "/p/desk/desk/", "/p/desk/data/prompts/", "/api/docs/")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["put", "patch", "delete", "options", "trace"])
def test_other_methods_are_refused(method, path, project, ada, signed_in):
    reply = getattr(signed_in(ada), method)(path)
    assert (reply.status_code, reply["Allow"], reply.content) == (405, "GET, HEAD, POST", b"")


def test_pages_answer_as_before(project, ada, signed_in):
    client = signed_in(ada)
    assert client.get("/p/desk/").status_code == client.head("/p/desk/").status_code == 200
