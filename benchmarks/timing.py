"""What the benchmarks share: the least of several times, memory at its peak, the machine, a JSON
line."""

import json
import os
import platform
import re
import time
from pathlib import Path


def show(**line) -> None:
    rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in line.items()}
    print(json.dumps(rounded), flush=True)


def least(calls: dict, repeats: int) -> dict[str, float]:
    """The least time of each call in milliseconds, one after the other, `repeats` times round; a
    first call compiles."""
    times = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - began))
    return {name: min(values) for name, values in times.items()}


def first_call(call) -> tuple[float, float]:
    """Seconds to compile and run, and by how much memory rose at its peak meanwhile, in MB."""
    before = memory("VmRSS", reset=True)
    began = time.perf_counter()
    call()
    return time.perf_counter() - began, max(0.0, memory("VmHWM") - before)


def memory(field: str, reset: bool = False) -> float:
    """A line of /proc/self/status in MB; reset sets the peak, VmHWM, to what is in use now. NaN
    where there is none."""
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
