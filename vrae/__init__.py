"""Variational recurrent auto-encoders. `vrae.vame` is the RNN-VAE of VAME, for animal motion, under VAME's names."""

from seqvae.backend import require_tensorflow

require_tensorflow()

from vrae import vame  # noqa: E402

__all__ = ["vame"]
