"""VAME's module of this name: its losses and its training, under its names."""

from vrae.vame.epochs import test, train
from vrae.vame.losses import (
    cluster_loss,
    future_reconstruction_loss,
    gaussian,
    kl_annealing,
    kullback_leibler_loss,
    reconstruction_loss,
)
from vrae.vame.optimizers import Adam, ReduceLROnPlateau
from vrae.vame.training import train_model

__all__ = [
    "Adam",
    "ReduceLROnPlateau",
    "cluster_loss",
    "future_reconstruction_loss",
    "gaussian",
    "kl_annealing",
    "kullback_leibler_loss",
    "reconstruction_loss",
    "test",
    "train",
    "train_model",
]
