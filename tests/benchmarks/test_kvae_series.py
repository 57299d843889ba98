"""benchmarks/kvae_series.py: its tables, and the errors of its baselines."""

from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kvae_series.py"


@pytest.mark.slow
def test_gaps_are_hidden_and_judged_beside_baselines(load_script):
    script = load_script(SCRIPT)
    for name, (count, steps, gap) in script.SHAPES.items():
        series = script.table(name)
        hidden = script.hidden_in(series, gap)
        assert series.shape == hidden.shape == (count, steps, 1)
        assert (hidden.sum(axis=1) <= gap).all() and not hidden[:, -1].any()
    found = script.run("sunspots", seed=0, K=1, epochs=1)
    series = script.table("sunspots")
    hidden = script.hidden_in(series, 4)
    mean = series[~hidden].mean()
    expected = np.sqrt(np.mean((series[hidden] - mean) ** 2))
    assert found["mean"] == pytest.approx(expected, abs=1e-3)
    ends = [series[i, np.flatnonzero(hidden[i])[0] - 1] for i in range(6)]
    off = [series[i][hidden[i]] - end for i, end in enumerate(ends)]
    assert found["last"] == pytest.approx(np.sqrt(np.mean(np.square(off))), abs=1e-3)
