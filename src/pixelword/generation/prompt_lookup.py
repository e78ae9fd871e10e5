"""Guessing the next tokens from the text so far: prompt lookup (Saxena 2023), which needs no second model.

Answers repeat their question, and texts repeat themselves. Where the last few tokens stood before, what followed them
there is a guess; the network reads it together with the next token, and keeps as much of it as it would have generated.
With greedy decoding the answer is the same, token for token.
"""

from __future__ import annotations

from collections.abc import Sequence

#: Longest and shortest run of last tokens that is looked for.
LONGEST, SHORTEST = 3, 2


def propose(tokens: Sequence[int], most: int) -> list[int]:
    """Up to `most` tokens that followed the last ones where these last stood before; [] where they never did.

    tokens: prompt and answer so far.
    """
    total = len(tokens)
    for size in range(LONGEST, SHORTEST - 1, -1):
        if total <= size:
            continue
        wanted = tokens[total - size :]
        for start in range(total - size - 1, -1, -1):
            if tokens[start] == wanted[0] and tokens[start : start + size] == wanted:
                return list(tokens[start + size : start + size + most])
    return []
