"""Response times of the page of `seqvae play`, over its websocket.

    python benchmarks/play_speed.py

The views show the models that ship. A JSON line for each kind of message: median and 95th
percentile in milliseconds. The views are compiled first, as the command does it.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from absl import app, flags
from starlette.testclient import TestClient
from timing import machine, show

import kvae.play
import worldmodels.play
from seqvae.play.app import make_app
from seqvae.play.views import open_views

flags.DEFINE_integer("answers", 200, "messages of each kind", lower_bound=2)

_HOST = "127.0.0.1:8765"


def _imputations() -> Iterator[dict]:
    """Four of the 20 frames are hidden, in sequences that take turns."""
    for i in itertools.count():
        hidden = [5, 6, 7, 8 + i % 12]
        yield {"sequence": i % 20, "hidden": hidden}


def _dream() -> Iterator[dict]:
    """The keys change; an episode that has ended begins again."""
    for i in itertools.count():
        if i % 50 == 0:
            yield {"do": "begin"}
        yield {"do": "step", "x": i % 3 - 1, "y": 0, "agent": 0, "temperature": 1.0}


def main(argv):
    """Run the command line."""
    del argv
    count = flags.FLAGS.answers
    kinds = {"imputation": kvae.play, "dream": worldmodels.play}
    views, first = open_views(kinds, "", "", 0)
    for view in views.values():
        assert not isinstance(view, str), view
        view.warm_up()
    messages = {"imputation": _imputations(), "dream": _dream()}
    with TestClient(make_app(views, first), base_url=f"http://{_HOST}") as client:
        for name in kinds:
            origin = {"origin": f"http://{_HOST}"}
            with client.websocket_connect(f"ws://{_HOST}/play/{name}", headers=origin) as socket:
                times = [_seconds(socket, next(messages[name])) for _ in range(count)]
            middle, late = 1e3 * np.quantile(times, (0.5, 0.95))
            show(view=name, answers=count, median_ms=middle, p95_ms=late, machine=machine())


def _seconds(socket, message: dict) -> float:
    began = time.perf_counter()
    socket.send_json(message)
    answer = socket.receive_json()
    took = time.perf_counter() - began
    if "error" in answer:
        raise SystemExit(f"{message}: {answer['error']}")
    return took


if __name__ == "__main__":
    app.run(main)
