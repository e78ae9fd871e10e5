"""Best-fit packing of samples of known cost into rows of fixed length, within the row's other budgets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pixelword.data.index import Lengths

_TRIES = 64  # rows looked at for one sample before a new row is begun


@dataclass(frozen=True)
class Budget:
    """Limits of one row; None is unlimited."""

    tokens: int
    patches: int | None = None
    pairs: int | None = None

    def holds(self, lengths: Lengths) -> np.ndarray:
        """Mask of samples that fit a row of their own: (n,) bool."""
        fits = lengths.tokens <= self.tokens
        for values, most in ((lengths.patches, self.patches), (lengths.pairs, self.pairs)):
            if most is not None:
                fits &= values <= most
        return fits

    def describe(self, lengths: Lengths, i: int) -> str:
        """Describe the cost of sample i against the limits."""
        costs: tuple[tuple[str, np.ndarray, int | None], ...] = (
            ("tokens", lengths.tokens, self.tokens),
            ("patches", lengths.patches, self.patches),
            ("pairs", lengths.pairs, self.pairs),
        )
        return ", ".join(f"{values[i]:,} {name} of {most:,} in a row" for name, values, most in costs if most)


def best_fit(lengths: Lengths, budget: Budget) -> list[list[int]]:
    """Pack samples, longest first, each into the fullest row with room; return rows of sample numbers.

    Every sample must fit a row of its own (`Budget.holds`).
    """
    tokens = lengths.tokens.tolist()
    extra = None
    if budget.patches is not None or budget.pairs is not None:
        extra = (lengths.patches.tolist(), lengths.pairs.tolist())
    rows: list[list[int]] = []
    spent: list[list[int]] = []  # patches and pairs of each row
    by_room: list[list[int]] = [[] for _ in range(budget.tokens + 1)]
    rooms = 0  # bit r: there is a row with r tokens of room
    for item in np.argsort(-lengths.tokens, kind="stable").tolist():
        need = tokens[item]
        cost = (extra[0][item], extra[1][item]) if extra else (0, 0)
        row, room = _fullest(rooms, need, cost, by_room, spent, budget)
        if row < 0:
            row, room = len(rows), budget.tokens
            rows.append([])
            spent.append([0, 0])
        else:
            by_room[room].remove(row)
            if not by_room[room]:
                rooms ^= 1 << room
        rows[row].append(item)
        spent[row][0] += cost[0]
        spent[row][1] += cost[1]
        by_room[room - need].append(row)
        rooms |= 1 << (room - need)
    return rows


def _fullest(
    rooms: int, need: int, cost: tuple[int, int], by_room: list[list[int]], spent: list[list[int]], budget: Budget
) -> tuple[int, int]:
    """Return the row with the least room that fits the sample, and its room; or (-1, 0)."""
    left = rooms >> need
    room, tries = need, 0
    while left and tries < _TRIES:
        step = (left & -left).bit_length()
        room += step - 1
        for row in by_room[room]:
            tries += 1
            patches, pairs = spent[row]
            if (budget.patches is None or patches + cost[0] <= budget.patches) and (
                budget.pairs is None or pairs + cost[1] <= budget.pairs
            ):
                return row, room
        left >>= step
        room += 1
    return -1, 0
