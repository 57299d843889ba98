"""VAME from poses to motifs: `--help` lists the flags.

The program is `vrae/vame/workflow.py`, its flags and presets are `vrae/vame/command_config.py`. It
is also `seqvae vame`.
"""

import sys

from seqvae.cli import command


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("vame").main(argv)


if __name__ == "__main__":
    main(sys.argv)
