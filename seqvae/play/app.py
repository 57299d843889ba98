"""The web application: the page's files, a websocket for each view, and access control."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from seqvae.play.views import Session, View

HOSTS = ("127.0.0.1", "localhost")
_PAGE = Path(__file__).parent / "page"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NO_VIEW = 4404  # code of a closed websocket; 4000 to 4999 are for applications
_ERRORS = (ValueError, ArithmeticError, RuntimeError)
"""Of a session, shown on the page. A RecursionError of JSON is a RuntimeError."""


def make_app(views: Mapping[str, View | str], first: str) -> Starlette:
    """Make the web application.

    Foreign hosts and origins are refused, and every answer has a content security policy. Sessions
    compute one after another: more at once would only share the cores.

    Args:
        views: by name; a sentence in place of a view without a model.
        first: name of the view to show first.

    Returns:
        The application.
    """
    limiter = CapacityLimiter(1)

    async def about(request: Request) -> Response:
        del request
        shown = {
            name: {"missing": view} if isinstance(view, str) else view.about()
            for name, view in views.items()
        }
        return JSONResponse({"first": first, "views": shown})

    async def play(socket: WebSocket) -> None:
        view = views.get(socket.path_params["view"], "")
        await socket.accept()
        if isinstance(view, str):
            await socket.close(_NO_VIEW, "no such view")
            return
        session = await run_sync(view.session, limiter=limiter)
        try:
            while True:
                text = await _received(socket)
                await socket.send_text(await run_sync(_answer, session, text, limiter=limiter))
        except WebSocketDisconnect:
            pass

    return Starlette(
        routes=[
            *(Route(f"/{_url(path)}", _file(path)) for path in sorted(_PAGE.iterdir())),
            Route("/about", about),
            WebSocketRoute("/play/{view}", play),
        ],
        middleware=[
            Middleware(_Secured),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
            Middleware(_SameOrigin),
        ],
    )


async def _received(socket: WebSocket) -> str:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    return message.get("text") or ""


def _answer(session: Session, text: str) -> str:
    try:
        message = json.loads(text)
        if not isinstance(message, dict):
            raise ValueError("expected an object")
        answer: dict[str, Any] = session.answer(message)
    except _ERRORS as error:
        answer = {"error": str(error)}
    return json.dumps(answer, allow_nan=False, separators=(",", ":"))


def _url(path: Path) -> str:
    return "" if path.name == "index.html" else path.name


def _file(path: Path):
    """The route of a file: only the files of the folder have one."""
    body, kind = path.read_bytes(), _TYPES[path.suffix]

    async def send(request: Request) -> Response:
        del request
        return Response(body, media_type=kind)

    return send


class _SameOrigin:
    """Middleware that refuses websockets, and requests that are not GET or HEAD, unless a page of
    this server sends them.
    """

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
        if scope["type"] in ("http", "websocket") and not reads:
            headers = Headers(scope=scope)
            if headers.get("origin") != f"http://{headers.get('host')}":
                response = PlainTextResponse("foreign origin", status_code=403)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class _Secured:
    """Middleware that adds headers to every answer."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, secured)
