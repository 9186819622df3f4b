"""Who may talk to the page: names of the server, other sites, and the token."""

import pytest

from toy_page import teacher_of, workspace_in

testclient = pytest.importorskip("starlette.testclient", reason="pip install -e .[dev] for these")

from dml_instance.app.server import build_app  # noqa: E402


@pytest.fixture
def client_of(tmp_path):
    workspace = workspace_in(tmp_path)

    def client(token=None, base="http://127.0.0.1:8123"):
        app = build_app(workspace, teacher_of(workspace), token=token)
        return testclient.TestClient(app, base_url=base)

    yield client
    workspace.project.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8123", 200),
        ("localhost:9999", 200),
        ("LOCALHOST", 200),
        ("[::1]:8123", 200),
        ("evil.example:8123", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_only_names_of_this_machine_are_answered(client_of, host, status):
    """A name that was bound to 127.0.0.1 elsewhere (DNS rebinding) reads nothing."""
    answer = client_of().get("/api/project", headers={"host": host})
    assert answer.status_code == status
    assert ("images" in answer.text) == (status == 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),  # it is answered: there is nothing to undo
        ({"origin": "http://127.0.0.1:8123"}, 400),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 400),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
    ],
)
def test_other_sites_change_nothing(client_of, headers, status):
    assert client_of().post("/api/images/0/undo", headers=headers).status_code == status


def test_a_link_from_elsewhere_opens_the_page_and_nothing_else(client_of):
    headers = {"sec-fetch-site": "cross-site"}
    assert client_of().get("/", headers=headers).status_code == 200
    for path in ("/api/images/0", "/api/project", "/static/js/main.js"):
        assert client_of().get(path, headers=headers).status_code == 403


def test_no_answer_is_read_by_another_site(client_of):
    answer = client_of().get("/api/project", headers={"origin": "http://evil.example"})
    assert answer.status_code == 403
    headers = client_of().get("/").headers
    assert "access-control-allow-origin" not in headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_a_token_is_asked_for_and_becomes_a_cookie(client_of):
    client = client_of("secret", base="http://192.168.1.7:8123")
    for query in ("", "?token=", "?token=wrong", "?token=secre", "?token=SECRET"):
        assert client.get(f"/api/project{query}").status_code == 403
    assert client.get("/api/project", headers={"cookie": "dml_token=wrong"}).status_code == 403
    first = client.get("/?token=secret")
    assert first.status_code == 200
    assert {"HttpOnly", "SameSite=Strict"} <= set(first.headers["set-cookie"].split("; "))
    assert client.get("/api/project").status_code == 200  # by the cookie
    assert client.post(
        "/api/images/0/undo", headers={"origin": "http://evil.example"}
    ).status_code == 403  # fmt: skip
    assert "secret" not in client.get("/api/project").text


def test_everything_stands_behind_the_guard(client_of):
    client = client_of("secret")
    for path in ("/", "/static/style.css", "/api/images/0/pixels", "/api/exports/001.zip"):
        assert client.get(path).status_code == 403
    assert client.put("/api/upload?name=a.png", content=b"").status_code == 403
