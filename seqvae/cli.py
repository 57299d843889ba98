"""The commands of this package: `seqvae NAME`, `python -m seqvae NAME`, and the scripts in
examples/ and datasets/.

Only this module of `seqvae` may name the model families.
"""

import dataclasses
import importlib
import importlib.util
import sys
from pathlib import Path

from seqvae.commands import Command, Tool

COMMANDS = {
    "kvae": ("kvae.config", "KVAE", "a Kalman variational auto-encoder, on videos or series"),
    "convvae": (
        "worldmodels.config",
        "CONVVAE",
        "the ConvVAE of World Models, on frames of episodes",
    ),
    "mdnrnn": ("worldmodels.config", "MDNRNN", "the MDN-RNN of World Models, on a ConvVAE's codes"),
    "worldmodel": (
        "worldmodels.config",
        "WORLDMODEL",
        "World Models, whole: from an environment to an agent",
    ),
    "vrae": ("vrae.config", "VRAE", "a variational recurrent auto-encoder, on series"),
    "vrae-apply": ("vrae.config", "VRAE_APPLY", "codes, imputed numbers or scores of new series"),
    "vame": ("vrae.vame.command_config", "VAME", "VAME's RNN-VAE, from poses to motifs"),
    "make-data": ("seqvae.physics.make_data", "MAKE_DATA", "datasets of bouncing balls"),
    "from-videos": ("seqvae.data.from_videos", "FROM_VIDEOS", "a dataset of a folder of videos"),
    "play": ("seqvae.play.config", "PLAY", "a page that shows models live, on this machine"),
}
"""For each command: the module of its settings, the name of the `Command` or `Tool` in that module,
and a line of help.
"""

VIEWS = {"kvae": "kvae.play", "dream": "worldmodels.play", "motifs": "vrae.vame.play"}
"""The views of `seqvae play`: the module of each."""


def main(argv: list[str] | None = None) -> None:
    """Run the command line `seqvae NAME FLAGS`.

    Args:
        argv: the program's name, the command's name and its flags; None: `sys.argv`.
    """
    argv = sys.argv if argv is None else argv
    if len(argv) < 2 or argv[1] in ("--help", "-h", "help"):
        print(_usage())
        return
    if argv[1] not in COMMANDS:
        print(f"seqvae: expected one of {', '.join(COMMANDS)}, got {argv[1]!r}.", file=sys.stderr)
        sys.exit(2)
    command(argv[1]).main([f"seqvae {argv[1]}", *argv[2:]], f"seqvae {argv[1]}")


def command(name: str) -> Command | Tool:
    """Load a command by its name.

    Args:
        name: a key of `COMMANDS`.

    Returns:
        The command.
    """
    module, attribute, _ = COMMANDS[name]
    load = importlib.import_module if module.startswith("seqvae.") else _without_its_package
    found = getattr(load(module), attribute)
    return dataclasses.replace(found, options={"families": VIEWS}) if name == "play" else found


def _usage() -> str:
    rows = "\n".join(f"  {name:12}{text}" for name, (*_, text) in COMMANDS.items())
    return f"seqvae NAME [flags]\n\n{rows}\n\n`seqvae NAME --help` lists the flags."


def _without_its_package(name: str):
    """Import a module of a family without its package's __init__, which imports TensorFlow: --help
    must not wait for it.
    """
    if name in sys.modules:
        return sys.modules[name]
    package, *rest = name.split(".")
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ImportError(f"{package}: not installed.")
    path = Path(found.submodule_search_locations[0], *rest).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name}: no module at {path}.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a later import of the family reuses it: each class exists once
    spec.loader.exec_module(module)
    return module
