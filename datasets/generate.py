"""Makes the bouncing-ball datasets: `--help` lists the worlds and flags.

The program is `seqvae/physics/make_data.py`. It is also `seqvae make-data`.
"""

import sys
from pathlib import Path

from seqvae.cli import command


def main(argv: list[str]) -> None:
    """Run the command line."""
    command("make-data").main(argv, out=str(Path(__file__).resolve().parent))


if __name__ == "__main__":
    main(sys.argv)
