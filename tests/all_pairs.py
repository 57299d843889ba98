"""Rows of settings in which every pair of values of two factors occurs."""

import itertools
import random


def all_pairs(factors: dict[str, tuple]) -> list[dict]:
    """Rows {factor: value}, the same for the same factors: the shortest of several greedy tables.

    Args:
        factors: the values of each factor. Where a row is free to choose, it takes the first value.
            A value that is a list
            stands for alternatives that count as one value: the rows take them in turn.
    """
    return _in_turn(factors, min((_table(factors, seed) for seed in range(3)), key=len))


def _table(factors: dict[str, tuple], seed: int) -> list[dict[str, int]]:
    """Rows of indices: each new one covers as many missing pairs as a few tries find."""
    choose, rows = random.Random(seed), []
    missing = {
        frozenset(((a, i), (b, j)))
        for a, b in itertools.combinations(factors, 2)
        for i, j in itertools.product(range(len(factors[a])), range(len(factors[b])))
    }
    while missing:
        best = max(
            (_row(factors, missing, choose) for _ in range(8)),
            key=lambda row: len(_pairs(row) & missing),
        )
        missing -= _pairs(best)
        rows.append(best)
    return rows


def sample(factors: dict[str, tuple], count: int, seed: int = 0) -> list[dict]:
    """`count` rows of the full product, drawn at random."""
    choose = random.Random(seed)
    return _in_turn(
        factors, [{n: choose.randrange(len(v)) for n, v in factors.items()} for _ in range(count)]
    )


def _row(factors: dict, missing: set, choose: random.Random) -> dict[str, int]:
    """A row of indices, begun with a missing pair; each further factor takes the value that covers
    the most."""
    row = dict(choose.choice(sorted(map(sorted, missing))))
    rest = [name for name in factors if name not in row]
    choose.shuffle(rest)
    for name in rest:
        row[name] = max(
            range(len(factors[name])), key=lambda i: len(_pairs(row | {name: i}) & missing)
        )
    return row


def _pairs(row: dict) -> set[frozenset]:
    return set(map(frozenset, itertools.combinations(row.items(), 2)))


def _in_turn(factors: dict, rows: list[dict]) -> list[dict]:
    turns = {
        (name, i): itertools.cycle(value if isinstance(value, list) else [value])
        for name, values in factors.items()
        for i, value in enumerate(values)
    }
    return [{name: next(turns[name, row[name]]) for name in factors} for row in rows]


def apart(factors: dict[str, tuple]) -> dict[str, tuple]:
    """The factors with each alternative as a value of its own."""
    values = {
        name: [v if isinstance(v, list) else [v] for v in given] for name, given in factors.items()
    }
    return {name: tuple(dict.fromkeys(itertools.chain(*given))) for name, given in values.items()}
