"""The web application: who may use it, what it sends, and what a session gets to see."""

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="starlette is not installed: the extra `play`")
if importlib.util.find_spec("httpx2") is None:
    pytest.skip("httpx2 is not installed", allow_module_level=True)

from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import seqvae.play
from seqvae.play.app import make_app

HERE = "http://127.0.0.1:8765"
PAGE = Path(seqvae.play.__file__).parent / "page"


class Counter:
    """A view whose sessions count their messages."""

    def about(self):
        return {"name": "counter"}

    def session(self):
        return Count()

    def warm_up(self):
        pass


class Count:
    def __init__(self):
        self.count = 0

    def answer(self, message):
        if message.get("do") == "divide":
            return {"one": 1 / 0}
        if message.get("do") == "refuse":
            raise ValueError("do: expected something else.")
        self.count += 1
        return {"count": self.count}


@pytest.fixture
def client():
    app = make_app({"counter": Counter(), "none": "No model. Run `seqvae kvae`."}, "counter")
    # as a context: all connections share one event loop, as on a server
    with TestClient(app, base_url=HERE) as one:
        yield one


def connect(client, view="counter", **headers):
    return client.websocket_connect(f"ws://127.0.0.1:8765/play/{view}", headers=headers)


def test_the_page_its_files_and_the_list_of_views(client):
    assert "<title>seqvae play</title>" in client.get("/").text
    assert client.get("/").headers["content-type"].startswith("text/html")
    assert client.get("/play.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/play.css").headers["content-type"].startswith("text/css")
    assert client.get("/about").json() == {
        "first": "counter",
        "views": {
            "counter": {"name": "counter"},
            "none": {"missing": "No model. Run `seqvae kvae`."},
        },
    }


@pytest.mark.parametrize("path", ("/app.py", "/../app.py", "/%2e%2e/app.py", "/page/play.js"))
def test_no_other_file_is_sent(client, path):
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ("/", "/play.js", "/about", "/nothing"))
def test_every_answer_has_the_policy(client, path):
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert "unsafe" not in policy and "http" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers


def test_the_page_has_no_inline_code_and_asks_no_other_host():
    texts = {path.name: path.read_text(encoding="utf-8") for path in PAGE.iterdir()}
    assert set(texts) >= {"index.html", "play.css", "play.js"}
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=", texts["index.html"])
    for name, text in texts.items():
        assert not re.search(r"(?:https?|wss?):(?!//\$\{location\.host\})", text), name
        assert "innerHTML" not in text and "eval(" not in text, name


@pytest.mark.parametrize("host", ("evil.example", "evil.example:8765", "127.0.0.1.evil.example"))
def test_a_foreign_host_is_refused(client, host):
    answer = client.get("/about", headers={"host": host})
    assert answer.status_code == 400 and "counter" not in answer.text
    with pytest.raises(WebSocketDisconnect), connect(client, host=host, origin=f"http://{host}"):
        pass


@pytest.mark.parametrize(
    "origin", ("http://evil.example", "http://127.0.0.1:9999", "https://127.0.0.1:8765", "null", "")
)
def test_a_foreign_origin_is_refused(client, origin):
    with pytest.raises(WebSocketDisconnect), connect(client, origin=origin):
        pass
    assert client.post("/about", headers={"origin": origin}).status_code == 403


def test_a_websocket_without_an_origin_is_refused(client):
    with pytest.raises(WebSocketDisconnect), connect(client):
        pass


def test_this_page_may_connect_but_nothing_can_be_uploaded(client):
    with connect(client, origin=HERE) as socket:
        socket.send_text("{}")
        assert socket.receive_json() == {"count": 1}
    for method in ("post", "put", "delete"):
        assert getattr(client, method)("/about", headers={"origin": HERE}).status_code == 405


def test_each_tab_has_its_own_state(client):
    with connect(client, origin=HERE) as one, connect(client, origin=HERE) as other:
        for socket, counts in ((one, (1, 2, 3)), (other, (1,)), (one, (4,))):
            for count in counts:
                socket.send_text("{}")
                assert socket.receive_json() == {"count": count}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "expected an object"),
        ("[" * 50_000, "recursion"),
        ('{"do": "refuse"}', "do: expected something else."),
        ('{"do": "divide"}', "division by zero"),
    ],
)
def test_a_bad_message_is_answered_and_the_session_stays(client, text, message):
    with connect(client, origin=HERE) as socket:
        socket.send_text(text)
        assert message in socket.receive_json()["error"]
        socket.send_bytes(b"{}")
        assert "error" in socket.receive_json()
        socket.send_text("{}")
        assert socket.receive_json() == {"count": 1}


@pytest.mark.parametrize("view", ("none", "nothing"))
def test_a_view_without_a_model_has_no_session(client, view):
    with connect(client, view, origin=HERE) as socket, pytest.raises(WebSocketDisconnect) as end:
        socket.receive_text()
    assert end.value.code == 4404
