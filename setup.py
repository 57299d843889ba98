"""The metadata are in pyproject.toml, but for the text that a package index shows."""

import re
from pathlib import Path

from setuptools import setup


def for_an_index(readme: str) -> str:
    """README without what only works in a checkout: pictures with their captions, and links
    to files and headings, of which the words remain."""
    readme = re.sub(
        r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n+(\*[^*\n](?:[^\n]|\n(?!\n))*\*\n+)?", "", readme
    )
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", readme)


readme = Path(__file__).parent / "README.md"
setup(
    long_description=for_an_index(readme.read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
)
