"""The curricula: tasks made by code from a seed, whose answers are true by construction.

`nano/` needs nothing but this package; the families of `mini` draw from asset packs that `pixelword tasks fetch` makes.
"""
