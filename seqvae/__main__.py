"""`python -m seqvae`."""

from seqvae.cli import main

main()
