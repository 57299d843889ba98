"""The table of `tests.all_pairs` against a count by hand."""

import itertools

from tests.all_pairs import all_pairs, apart

FACTORS = {"a": ("x", ["y", "z"]), "b": (1, 2, 3), "c": (False, True), "d": (["p", "q"],)}


def test_every_pair_of_values_is_in_a_row():
    factors = apart(FACTORS)
    assert factors == {"a": ("x", "y", "z"), "b": (1, 2, 3), "c": (False, True), "d": ("p", "q")}
    rows = all_pairs(factors)
    assert 9 <= len(rows) <= 12 and rows == all_pairs(factors)
    for (a, first), (b, second) in itertools.combinations(factors.items(), 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(first, second))


def test_alternatives_share_the_rows_of_one_value():
    rows = all_pairs(FACTORS)
    assert len(rows) == 6
    assert [row["d"] for row in rows] == ["p", "q"] * 3
    assert {row["a"] for row in rows} == {"x", "y", "z"}
