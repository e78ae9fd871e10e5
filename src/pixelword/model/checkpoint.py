"""Names that earlier releases documented here; `pixelword.checkpoints` has them."""

from __future__ import annotations

from pixelword.lazy import lazy_names

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "convert": "pixelword.checkpoints.load",
        "load_pretrained": "pixelword.checkpoints.load",
        "resolve": "pixelword.checkpoints.names",
    },
)
