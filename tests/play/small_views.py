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
from seqvae.play.serve import bind
from tests.vrae.test_vame_cards import KEYS, LABELS, SESSIONS, measured
from tests.worldmodels.small_models import SHAPE, dodge_parts
from vrae.vame import Config
from vrae.vame.play import Found, MotifView
from worldmodels.play import Agent, DreamView

DODGE = PixelWorld("seqvae/Dodge-v0", size=SHAPE[:2])


def imputation():
    keras.utils.set_random_seed(0)
    model = kvae.KVAE((8, 8), num_filters=(2,), alpha_units=3, init_kf_matrices=0.5)
    images = np.random.default_rng(0).random((3, 6, 8, 8)) > 0.6
    return ImputationView(model, Sequences(images), "small", "noise")


def dream():
    agent = Agent(*dodge_parts())
    return DreamView(agent, DODGE, seed=0, name="small", temperature=1.15)


def motifs():
    """Sessions of an animal that walks, with three motifs."""
    _, codes, _ = measured()
    windows = {name: labels[3:-2] for name, labels in LABELS.items()}
    config = Config(**KEYS, time_window=6, prediction_steps=1)
    return MotifView(Found(SESSIONS, codes, windows, config), seed=0, name="walks")


@contextlib.contextmanager
def served(views, first="kvae"):
    """The page's address while it is served."""
    listening = bind(0)
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
