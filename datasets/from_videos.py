"""Turns a folder of videos (mp4, GIF, ...) into the .npz files that the programs here read:
`--help` lists the flags.

The program is `seqvae/data/from_videos.py`. It is also `seqvae from-videos`.
"""

import sys

from seqvae.cli import command


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("from-videos").main(argv)


if __name__ == "__main__":
    main(sys.argv)
