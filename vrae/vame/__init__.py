"""Variational Animal Motion Embedding (Luxem et al. 2022, Communications Biology 5:1267): its RNN-VAE, under its names."""

from vrae.vame import original, rnn_model, rnn_vae

__all__ = ["original", "rnn_model", "rnn_vae"]
