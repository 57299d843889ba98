"""Fixtures that several folders need."""

import contextlib
import gc
import importlib.util
import inspect
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from absl import flags

from tests.tree import unchanged


@pytest.fixture(scope="session", autouse=True)
def tree():
    """Fails the session if a test leaves a file in the tree."""
    with unchanged(Path(__file__).parents[1]):
        yield


_FAST = {
    # Tests run side by side on few cores: the threads of one would wait, in a loop, for those of
    # another.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
}


def _is_fast(config) -> bool:
    return config.option.markexpr == "not slow"


def pytest_configure(config):
    """Nearly all time of the fast suite is TensorFlow's tracing and compiling: there graphs are
    compiled without the passes that only make them faster. `make test-all` has them all."""
    if _is_fast(config):
        os.environ.update({name: value for name, value in _FAST.items() if name not in os.environ})


@pytest.fixture(scope="session", autouse=True)
def quickly_compiled(request):
    """The same for TensorFlow's own passes. And Python looks seldom for garbage, among objects that
    live with their trace."""
    if not _is_fast(request.config):
        return
    import tensorflow as tf
    from tensorflow.python.framework import ops

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    # TensorFlow keeps Python's stack for each operation of a graph, for its error messages: an
    # eighth of the time to trace. The second default is that of `extract_traceback`.
    inspect.unwrap(ops._create_c_op).__defaults__ = (None, False)
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="module", autouse=True)
def collected(request):
    """Free the graphs of a module after it: a worker would grow to ten gigabytes."""
    yield
    if any(gc.get_count()[1:]):  # 50,000 new objects or more
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def eager_module(request, collected):
    """In the fast suite a module marked `eager` computes without graphs, its fixtures too.

    Tracing a model takes seconds, some steps of it milliseconds. tests/test_every_model.py, the
    tests of the commands and those marked `graph` trace what a user traces. `make test-all` traces
    everything.
    """
    with _functions_eagerly(request, request.node.get_closest_marker("eager")):
        yield


@pytest.fixture(autouse=True)
def eager_or_graph(request, eager_module):
    """A test marked `eager` or `graph`, whatever its module is."""
    graph = request.node.get_closest_marker("graph")
    with _functions_eagerly(request, not graph and request.node.get_closest_marker("eager")):
        yield


@contextlib.contextmanager
def _functions_eagerly(request, eagerly):
    if not _is_fast(request.config) or "tensorflow" not in sys.modules:
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(bool(eagerly))
    yield
    tf.config.run_functions_eagerly(before)


@pytest.fixture(scope="module")
def load_script():
    """Imports a script by its path; its absl flags, which another script may have too, go with the
    test module, or when the next script is loaded."""
    before = set(flags.FLAGS)

    def forget():
        for name in set(flags.FLAGS) - before:
            delattr(flags.FLAGS, name)

    def load(path):
        forget()
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, str(path.parent))  # as when it is run
        try:
            spec.loader.exec_module(module)
        finally:
            sys.path.remove(str(path.parent))
        return module

    yield load
    forget()


@pytest.fixture
def full_disk():
    """A context in which no file can grow past `limit` bytes: the kernel fails the write, as on a
    full disk."""

    @contextlib.contextmanager
    def limited(limit: int):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)

    return limited
