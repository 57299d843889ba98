"""Trains a Kalman variational auto-encoder, with the flags of the original program: `--help` lists
them.

The program is `kvae/train.py`, its flags and presets are `kvae/config.py`. It is also `seqvae
kvae`.
"""

import sys
from pathlib import Path

from seqvae.cli import command

DATASETS = Path(__file__).resolve().parent.parent / "datasets"


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("kvae").main(argv, data_dir=str(DATASETS))


if __name__ == "__main__":
    main(sys.argv)
