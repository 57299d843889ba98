"""Trains the ConvVAE of World Models on frames of episodes: `--help` lists the flags.

The program is `worldmodels/train_convvae.py`, its flags and presets are `worldmodels/config.py`. It
is also `seqvae convvae`.
"""

import sys
from pathlib import Path

from seqvae.cli import command

DATASETS = Path(__file__).resolve().parent.parent / "datasets"


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("convvae").main(argv, data_dir=str(DATASETS))


if __name__ == "__main__":
    main(sys.argv)
