"""How a screen looks: colours, type, corners, density."""

from __future__ import annotations

from base64 import b64encode
from random import Random
from typing import Any

from pixelword.synthetic.assets import Assets
from pixelword.synthetic.types import Split

_GENERIC = ("sans-serif", "sans-serif", "DejaVu Sans", "serif", "monospace")
_OWN_SHARE = 0.5
_ACCENTS = ("#1f6feb", "#0b7a4b", "#c4314b", "#6b3fa0", "#b35900", "#00707a", "#333333", "#d6336c")
#: (ground, card, ink, border, field, button)
_LIGHT = (
    ("#ffffff", "#ffffff", "#1b1b1b", "#c8c8c8", "#ffffff", "#f0f0f0"),
    ("#f3f4f6", "#ffffff", "#111827", "#d1d5db", "#ffffff", "#e5e7eb"),
    ("#d4d0c8", "#d4d0c8", "#000000", "#808080", "#ffffff", "#d4d0c8"),
    ("#fbf7ee", "#fffdf8", "#2c2416", "#d9cdb4", "#ffffff", "#efe6d2"),
    ("#e8f0f8", "#f8fbff", "#10263d", "#b3c7dd", "#ffffff", "#dbe7f3"),
)
_DARK = (
    ("#16181d", "#20242b", "#eceff4", "#3c424d", "#121419", "#333a45"),
    ("#000000", "#1c1c1e", "#f5f5f7", "#48484a", "#2c2c2e", "#3a3a3c"),
    ("#1d2733", "#263342", "#e6edf5", "#41546a", "#18212c", "#34475c"),
)


def draw_theme(rng: Random, split: Split, assets: Assets) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(what the templates call `theme`, the assets that it uses)."""
    dark = rng.random() < 0.3
    ground, card, ink, border, field, button = rng.choice(_DARK if dark else _LIGHT)
    accent = rng.choice(_ACCENTS)
    size = rng.choice((13, 13, 14, 14, 15, 16))
    font, family = "", rng.choice(_GENERIC)
    used: tuple[str, ...] = ()
    if assets.has("fonts") and rng.random() > _OWN_SHARE:
        pack = assets.pack("fonts")
        # fonts without small letters would not show what labels say
        item = rng.choice([entry for entry in pack.of(split) if not entry.get("caps")])
        font, family = b64encode(pack.read(item["file"])).decode(), "drawn, sans-serif"
        used = (f"fonts:{item['key']}",)
    plain = rng.random() < 0.4
    theme = {
        "ground": ground, "card": card, "ink": ink, "border": border, "field": field, "accent": accent,
        "button": button, "button_ink": ink, "accent_ink": "#ffffff", "link": "#8ab4ff" if dark else "#1a4fb4",
        "bar": button if plain else accent, "bar_ink": ink if plain else "#ffffff",
        "size": size, "heading": size + rng.choice((2, 4, 6)),
        "pad": rng.choice((8, 10, 14)), "gap": rng.choice((6, 8, 10)),
        "round": rng.choice((0, 3, 6, 10)), "line": rng.choice((0, 1, 1)), "shadow": rng.random() < 0.3,
        "bevel": ground == "#d4d0c8", "buttons": rng.choice(("flex-end", "flex-start", "center", "space-between")),
        "font_data": font, "family": family,
    }  # fmt: skip
    return theme, used
