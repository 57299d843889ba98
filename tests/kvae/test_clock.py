"""Dates that are calendar months apart: an even grid by index, and the dates of its steps."""

from datetime import UTC, datetime

import numpy as np
import pytest

from kvae.clock import Clock, in_months


def seconds(*dates):
    return np.array([datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp() for d in dates])


@pytest.mark.parametrize(
    ("dates", "dt", "following"),
    [
        (("2023-11-01", "2023-12-01", "2024-03-01"), 1, "2024-04-01"),
        (("2023-01-15 06:30", "2023-02-15 06:30"), 1, "2023-03-15 06:30:00"),
        (("2023-12-31", "2024-02-29", "2024-03-31"), 1, "2024-04-30"),
        (("2023-12-31", "2024-06-30"), 6, "2024-12-31"),
        (("2022-03-31 23:59:59", "2022-06-30 23:59:59"), 3, "2022-09-30 23:59:59"),
        (("2023-01-30", "2023-02-28", "2023-03-30"), 1, "2023-04-30"),
        (("2024-01-29 12:00", "2024-02-29 12:00", "2025-02-28 12:00"), 1, "2025-03-29 12:00:00"),
        (("2019-07-01", "2020-07-01", "2021-07-01"), 12, "2022-07-01"),
    ],
)
def test_months_are_counted_and_written_as_dates(dates, dt, following):
    found = in_months([seconds(*dates)])
    assert found is not None
    (months,), clock = found
    assert clock.dt == dt
    steps = (months - months[0]) / dt
    np.testing.assert_array_equal(steps, np.rint(steps))
    for step, date in zip(steps, dates, strict=True):
        assert datetime.fromisoformat(clock.time(0, int(step))) == datetime.fromisoformat(date)
    assert clock.time(0, int(steps[-1]) + 1) == following


def test_the_step_is_that_of_all_series():
    found = in_months([seconds("2020-01-01", "2020-05-01"), seconds("2021-01-01", "2021-07-01")])
    assert found is not None and found[1].dt == 2 and found[1].time(1, 3) == "2021-07-01"


@pytest.mark.parametrize(
    "dates",
    [
        ("2024-01-01", "2024-01-08", "2024-01-15"),
        ("2024-01-01", "2024-02-02"),
        ("2024-01-01 00:00", "2024-02-01 01:00"),
        ("2024-01-01",),
    ],
)
def test_other_dates_are_not_months(dates):
    assert in_months([seconds(*dates)]) is None


def test_numbers_and_days():
    assert Clock(np.array([10.0]), 2.0, False).time(0, 3) == "16"
    assert Clock(seconds("2024-02-28"), 86400.0, True).time(0, 2) == "2024-03-01"
    assert Clock(seconds("2024-02-28"), 3600.0, True).time(0, 2) == "2024-02-28 02:00:00"
