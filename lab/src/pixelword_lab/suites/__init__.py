"""Suites of `pixelword evaluate` that draw families, or need their packs."""
