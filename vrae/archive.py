"""Sets of the UCR and UEA archives that the packages aeon and sktime contain.

If one of the packages is installed, its files are read; it is not imported.
"""

import importlib.util
from pathlib import Path

from seqvae.data.tables import read_ts
from vrae.data import Series

PACKAGES = ("aeon", "sktime")


def installed_sets() -> dict[str, Path]:
    """List the installed sets.

    Returns:
        The folder of each set by its name.

    Raises:
        ModuleNotFoundError: neither package is installed.
    """
    specs = [importlib.util.find_spec(name) for name in PACKAGES]
    roots = [Path(at) for s in specs if s for at in s.submodule_search_locations or ()]
    if not roots:
        raise ModuleNotFoundError(
            f"the sets of the archives ship in {' and '.join(PACKAGES)}; neither is installed. "
            "pip install aeon, or use `seqvae.data.tables.read_ts` with a file of yours."
        )
    files = [path for at in reversed(roots) for path in at.glob("datasets/data/*/*_TRAIN.ts")]
    return {path.name.removesuffix("_TRAIN.ts"): path.parent for path in files}


def read_set(name: str) -> tuple[Series, Series]:
    """Read a set with the archive's split.

    Args:
        name: name of the set, such as "GunPoint".

    Returns:
        Training and test series.

    Raises:
        ModuleNotFoundError: neither aeon nor sktime is installed.
        ValueError: they contain no such set.
    """
    sets = installed_sets()
    if name not in sets:
        raise ValueError(f"name: expected one of {', '.join(sorted(sets))}, got {name!r}.")
    train, test = (read_ts(sets[name] / f"{name}_{part}.ts") for part in ("TRAIN", "TEST"))
    return train, test
