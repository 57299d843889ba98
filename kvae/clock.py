"""The times of the steps of series: numbers, dates, or calendar months."""

import calendar
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

_DAY = 86400.0  # seconds


class Clock(NamedTuple):
    """Times of equal steps: step k of series i is at starts[i] + k dt."""

    starts: np.ndarray
    """[N], the time of each first step."""
    dt: float
    """The time between two steps."""
    dated: bool
    """Whether times are dates, in seconds since 1970."""

    def time(self, i: int, step: int) -> str:
        """Time of a step as text.

        Args:
            i: index of the series.
            step: index of the step.

        Returns:
            The date and time, or the number.
        """
        value = self.starts[i] + step * self.dt
        if self.dated:
            return _text(_moment(value), not (self.starts % _DAY).any() and self.dt % _DAY == 0)
        return f"{value:.15g}"


class Months(NamedTuple):
    """Dates in steps of calendar months, on the same day of each; in shorter months on the last."""

    starts: np.ndarray
    """[N], the month of each first step, counted from year 0."""
    dt: int
    """Months between two steps."""
    day: int
    """The day of the month, 1 to 31."""
    in_day: timedelta
    """The time since midnight."""

    def time(self, i: int, step: int) -> str:
        """Time of a step as text.

        Args:
            i: index of the series.
            step: index of the step.

        Returns:
            The date, with the time of day unless it is midnight.
        """
        year, month = divmod(int(self.starts[i]) + step * self.dt, 12)
        day = min(self.day, calendar.monthrange(year, month + 1)[1])
        moment = datetime(year, month + 1, day) + self.in_day
        return _text(moment, not self.in_day)


def in_months(seconds: list[np.ndarray]) -> tuple[list[np.ndarray], Months] | None:
    """Convert dates to calendar months, if all are at the same day and time of their months.

    In a month without that day, its last day counts as it. If all dates are last days of their
    months, the day is 31.

    Args:
        seconds: [T_i] each, seconds since 1970, increasing.

    Returns:
        The month of each date [T_i], counted from year 0, and the clock, whose step is the greatest
        common divisor of all gaps; None if the dates are not in steps of months.
    """
    moments = [[_moment(value) for value in times] for times in seconds]
    every = [moment for row in moments for moment in row]
    lengths = [calendar.monthrange(moment.year, moment.month)[1] for moment in every]
    last = all(m.day == length for m, length in zip(every, lengths, strict=True))
    day = 31 if last else max(moment.day for moment in every)
    same_day = all(m.day == min(day, length) for m, length in zip(every, lengths, strict=True))
    times = {moment - datetime(moment.year, moment.month, moment.day) for moment in every}
    months = [np.array([12 * m.year + m.month - 1 for m in row], float) for row in moments]
    gaps = np.concatenate([np.diff(row) for row in months]).astype(int)
    if not same_day or len(times) > 1 or not len(gaps) or gaps.min() < 1:
        return None
    starts = np.array([row[0] for row in months])
    return months, Months(starts, int(np.gcd.reduce(gaps)), day, times.pop())


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _text(moment: datetime, only_date: bool) -> str:
    return moment.date().isoformat() if only_date else moment.isoformat(sep=" ")
