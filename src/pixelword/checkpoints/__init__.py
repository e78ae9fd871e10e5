"""From a model's name to its weights: packaged models, folders, the Hub, deltas, GGUF files, and growing new ones.

`load.py` dispatches between the kinds. The names below are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pixelword.lazy import lazy_names

if TYPE_CHECKING:
    from .load import convert, load_pretrained
    from .names import packaged, resolve

_HOMES = {
    "convert": "pixelword.checkpoints.load",
    "load_pretrained": "pixelword.checkpoints.load",
    "packaged": "pixelword.checkpoints.names",
    "resolve": "pixelword.checkpoints.names",
}
__all__ = ["convert", "load_pretrained", "packaged", "resolve"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
