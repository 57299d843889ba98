"""Shared code of the model families: what at least two of them need. It contains no model.

`seqvae.physics` makes videos of bouncing balls, `seqvae.data` stores sequences and masks,
`seqvae.training` is the GradientTape loop, `seqvae.plotting` draws figures and videos.
"""

__version__ = "0.3.0"
