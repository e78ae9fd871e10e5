"""Suites by name: nano's own, and those of plugins (`pixelword.suites`).

"nano" tests what nano learns. pixelword-lab brings "nano-real", the same skills on real data, "held-out", the drawn
families on assets that training never saw, "real", packaged images and clips with answers of people, and "retrieval".
The same number and the same seed give a test the same questions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pixelword import plugins
from pixelword.errors import InputError
from pixelword.evaluation import nano
from pixelword.evaluation.types import Suite, Test
from pixelword.synthetic.assets import Assets

_OWN = {item.name: item for item in (nano.SUITE,)}


def named(names: Iterable[str]) -> list[Suite]:
    """Return suites by name, in table order. Raises InputError for an unavailable one."""
    found = [_OWN[name] if name in _OWN else plugins.load(plugins.SUITES, name, tuple(_OWN)) for name in names]
    order = (*plugins.entry_points(plugins.SUITES), *_OWN)
    return sorted(found, key=lambda suite: order.index(suite.name))


def chosen(suites: Sequence[str], names: Sequence[str] = (), assets: Assets | None = None) -> list[Test]:
    """Return the tests of suites, in order, optionally only those with given names.

    Raises InputError for an unknown suite, or a name that neither a test nor a set of pairs of theirs has.
    """
    packs, of = assets or Assets(), named(dict.fromkeys(suites))
    found = [test for suite in of for test in suite.tests(packs)]
    known = [item.name for item in found] + [pairs.name for suite in of for pairs in suite.pairs]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"{' and '.join(suites)} has no test {unknown[0]!r}: choose one of {', '.join(known)}")
    return [item for item in found if not names or item.name in names]
