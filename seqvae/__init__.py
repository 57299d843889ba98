"""The foundation of the model families: what two of them need, and no model.

`seqvae.physics` makes videos of bouncing balls, `seqvae.data` keeps sequences and masks,
`seqvae.training` is the GradientTape loop, `seqvae.plotting` turns arrays into pictures and videos.
"""

__version__ = "0.2.0"
