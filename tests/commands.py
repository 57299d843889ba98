"""The commands as a user runs them: in a process of their own or, faster, in this one.

`run_here` is for what a command says and leaves. `start` and `run` are for what only a process
shows: that it can be interrupted, killed and resumed.
"""

import contextlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from absl import app, flags, logging

from seqvae.commands import run as runs

ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

app.define_help_flags()
_ABSLS = set(flags.FLAGS) - {"log_dir"}
"""Names of the flags that no script has."""


class Done(NamedTuple):
    """How a command ended: its status, and what it wrote to stdout and stderr."""

    returncode: int
    stdout: str
    stderr: str


def start(script: Path, *arguments, cwd: Path | None = None, **environment) -> subprocess.Popen:
    """The command in a process of its own, which this does not wait for."""
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | ENVIRONMENT | environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(script: Path, *arguments, cwd: Path | None = None, **environment) -> Done:
    """The command in a process of its own, to its end."""
    process = start(script, *arguments, cwd=cwd, **environment)
    out, err = process.communicate(timeout=240)
    return Done(process.returncode, out, err)


def run_here(script: Path, *arguments, cwd: Path | None = None) -> Done:
    """`python script arguments` without the start of Python and TensorFlow.

    An error that the command does not handle is raised. Its flags, its folder, its lock on a run
    and TensorFlow's determinism end with it.
    """
    argv, out, err = [str(script), *map(str, arguments)], io.StringIO(), io.StringIO()
    with (
        _alone(),
        contextlib.chdir(cwd or Path.cwd()),
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = _status(lambda: runpy.run_path(str(script), run_name="__main__"))
    return Done(code, out.getvalue(), err.getvalue())


def _status(program) -> int:
    """The exit status for the shell. A text is an error message."""
    try:
        program()
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    return 0


@contextlib.contextmanager
def _alone():
    """As in a process without other scripts, whose flags may have the same names."""
    others = {name: flags.FLAGS[name] for name in flags.FLAGS if name not in _ABSLS}
    _forget(others)
    try:
        with (
            mock.patch.object(logging, "use_absl_handler"),
            mock.patch.object(runs, "_LOCKS", []) as locks,
        ):
            yield
    finally:
        for lock in locks:
            lock.close()
        _forget(set(flags.FLAGS) - _ABSLS)
        for name, flag in others.items():
            flags.FLAGS[name] = flag
        if "tensorflow" in sys.modules:
            from tensorflow.python.framework import config

            config.disable_op_determinism()


def _forget(names) -> None:
    for name in list(names):
        delattr(flags.FLAGS, name)
