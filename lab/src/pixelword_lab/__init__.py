"""The workshop of Pixelword: small models are made here, and designs compared.

Families of drawn tasks and the asset packs that they need (`pixelword tasks`), ablations, the speedrun, and the studies
behind `mini` (`pixelword lab`). Pixelword finds all of it by entry points and never imports this package by name.
"""
