"""Trains the MDN-RNN of World Models on a ConvVAE's codes: `--help` lists the flags.

The program is `worldmodels/train_mdnrnn.py`, its flags and presets are `worldmodels/config.py`. It
is also `seqvae mdnrnn`.
"""

import sys

from seqvae.cli import command


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("mdnrnn").main(argv)


if __name__ == "__main__":
    main(sys.argv)
