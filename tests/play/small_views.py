"""Views of small models with random weights, and the page served in a thread."""

import contextlib
import threading
import time

import keras
import numpy as np
import uvicorn

import kvae
from kvae.play import ImputationView
from seqvae.data import Sequences
from seqvae.physics.pixel_world import PixelWorld
from seqvae.play.app import make_app
from seqvae.play.serve import bound
from tests.vrae.test_vame_cards import KEYS, LABELS, SESSIONS, measured
from tests.worldmodels.small_models import SHAPE, small_controller, small_rnn, small_vae
from vrae.vame import Config
from vrae.vame.play import Found, MotifView
from worldmodels.play import Agent, DreamView

DODGE = PixelWorld("seqvae/Dodge-v0", size=SHAPE[:2])


def small_kvae(**options):
    keras.utils.set_random_seed(0)
    return kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5, **options)


def imputation(model=None, frames=6, **arrays):
    images = np.random.default_rng(0).random((3, frames, 8, 8)) > 0.6
    sequences = Sequences(**{"images": images} | arrays)
    return ImputationView(model or small_kvae(), sequences, "small", "noise", seed=0)


def agent(**options):
    """The done head of the rnn has random weights; `ends` sets its bias."""
    ends = options.pop("ends", -100.0)
    rnn = small_rnn(action_size=1, predict_done=True, **options)
    kernel, bias = rnn.head.get_weights()
    bias[0] = ends
    kernel[:, 0] = 0.0
    rnn.head.set_weights([kernel, bias])
    return Agent(small_vae(), rnn, small_controller(action_size=1, squash="tanh"))


def dream(**options):
    return DreamView(agent(**options), DODGE, seed=0, name="small", temperature=1.15)


def motifs():
    """Sessions of an animal that walks, with three motifs."""
    _, codes, _ = measured()
    windows = {name: labels[3:-2] for name, labels in LABELS.items()}
    return MotifView(
        Found(SESSIONS, codes, windows, Config(**KEYS, time_window=6, prediction_steps=1)),
        seed=0,
        name="walks",
    )


@contextlib.contextmanager
def served(views, first="kvae"):
    """The page's address while it is served."""
    listening = bound(0)
    app = make_app(views, first)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=20)
