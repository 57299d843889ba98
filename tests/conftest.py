"""Fixtures that several folders need."""

import contextlib
import resource
import signal

import pytest


@pytest.fixture
def full_disk():
    """A context in which no file can grow past `limit` bytes: the kernel fails the write, as on a full disk."""

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
