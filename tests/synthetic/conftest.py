"""Packs of fonts and words that every machine has, in the place of the usual folder."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_packs(default_assets: None) -> None:
    """For every test here."""
