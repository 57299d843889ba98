"""Trains a variational recurrent auto-encoder on series: `--help` lists the flags.

The program is `vrae/train.py`, its flags and presets are `vrae/config.py`. It is also `seqvae
vrae`.
"""

import sys

from seqvae.cli import command


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("vrae").main(argv)


if __name__ == "__main__":
    main(sys.argv)
