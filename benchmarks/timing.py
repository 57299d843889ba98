"""What the benchmarks share: the least of several times, memory at its peak, the machine, a JSON
line."""

import json
import os
import platform
import re
import time
from pathlib import Path


def show(**line) -> None:
    """Print a line of results as JSON, with numbers rounded to four digits.

    Args:
        **line: the results by name.
    """
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in line.items()}
    print(json.dumps(rounded), flush=True)


def least(calls: dict, repeats: int) -> dict[str, float]:
    """Measure the shortest time of each call. The calls take turns; a first call compiles.

    Args:
        calls: functions without arguments by name.
        repeats: number of turns.

    Returns:
        Milliseconds by name.
    """
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: min(values) for name, values in times.items()}


def first_call(call) -> tuple[float, float]:
    """Measure the first call of a function, which compiles it.

    Args:
        call: the function, without arguments.

    Returns:
        Seconds, and the rise of memory to its peak in MB.
    """
    before = memory("VmRSS", reset=True)
    began = time.perf_counter()
    call()
    return time.perf_counter() - began, max(0.0, memory("VmHWM") - before)


def memory(field: str, reset: bool = False) -> float:
    """Read a line of /proc/self/status.

    Args:
        field: name of the line, such as VmRSS.
        reset: whether the peak, VmHWM, is set to the memory in use now.

    Returns:
        MB; NaN if the line does not exist.
    """
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
        )
        return int(lines[field].split()[0]) / 1024
    except (OSError, KeyError):
        return float("nan")


def machine() -> str:
    """The processor and its cores, as results name it."""
    names = (
        re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if os.path.exists("/proc/cpuinfo")
        else []
    )
    return f"{os.cpu_count()} cores of {(names or [platform.processor() or platform.machine()])[0]}"
