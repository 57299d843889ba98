"""The body of the command `seqvae play`: opens the views, warms them up, and serves the page."""

import importlib
import importlib.util
import os
import socket
from collections.abc import Mapping

from seqvae.play.config import PlaySettings
from seqvae.play.views import open_views

_HOST = "127.0.0.1"
_NEEDED = ("starlette", "uvicorn", "websockets", "gymnasium")
_LONGEST_MESSAGE = 65_536  # bytes; a page's messages have some hundred


def run(folder: str, settings: PlaySettings, families: Mapping[str, str]) -> None:
    """Run the command `play`.

    Args:
        folder: of a run; "": only models that ship.
        settings: the settings.
        families: names of the modules of the views, by the view's name.

    Raises:
        RuntimeError: a package of the extra is missing.
        ValueError: a folder or file cannot be shown, or the seed is negative.
        OSError: the port is in use.
    """
    check_extra()
    if settings.seed < 0:
        raise ValueError(f"--seed: expected at least 0, got {settings.seed}.")
    listening = bind(settings.port)  # a port in use is named before models are loaded
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    print("loading models ...", flush=True)
    modules = {name: importlib.import_module(module) for name, module in families.items()}
    views, first = open_views(
        modules,  # pyright: ignore[reportArgumentType]
        folder,
        settings.data,
        settings.seed,
    )
    for view in views.values():
        if not isinstance(view, str):
            view.warm_up()
    serve(listening, views, first)


def check_extra() -> None:
    """Check that the packages of the extra `play` are installed.

    Raises:
        RuntimeError: one is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeError(f'needs {", ".join(missing)}. Install: pip install ".[play]".')


def bind(port: int) -> socket.socket:
    """Bind a socket that only this machine can connect to.

    Args:
        port: the port; 0: any free one.

    Returns:
        The socket.

    Raises:
        ValueError: no port has this number.
        OSError: the port is in use.
    """
    if not 0 <= port < 65536:
        raise ValueError(f"--port: expected 0 to 65535, got {port}.")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
    except OSError as error:
        listening.close()
        raise OSError(
            f"--port: cannot use {port} ({error.strerror}). Choose another, or 0 for any free one."
        ) from error
    return listening


def serve(listening: socket.socket, views: Mapping, first: str) -> None:
    """Print the address and serve the page until Ctrl-C.

    Args:
        listening: a bound socket.
        views: see `make_app`.
        first: see `make_app`.
    """
    import uvicorn

    from seqvae.play.app import make_app

    config = uvicorn.Config(
        make_app(views, first),
        log_level="warning",
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        ws_max_size=_LONGEST_MESSAGE,
        ws_per_message_deflate=False,  # the page is on this machine: compressing only costs time
        timeout_graceful_shutdown=3,
    )
    listening.listen()  # from here on, a browser that connects waits for the server's start
    print(f"open http://{_HOST}:{listening.getsockname()[1]}/ (Ctrl-C ends it)", flush=True)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        print("\nended.")
