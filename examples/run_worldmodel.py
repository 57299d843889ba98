"""From frames to an agent, with World Models: `--help` lists the flags.

The program is `worldmodels/train_worldmodel.py`, its flags and presets are `worldmodels/config.py`.
It is also `seqvae worldmodel`.
"""

import sys

from seqvae.cli import command


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("worldmodel").main(argv)


if __name__ == "__main__":
    main(sys.argv)
