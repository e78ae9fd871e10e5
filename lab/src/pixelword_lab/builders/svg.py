"""SVG drawings as images, by resvg."""

from __future__ import annotations

from pixelword.errors import AssetError
from pixelword.extras import install_command


def raster(drawing: bytes, longest: int) -> bytes:
    """A PNG, `longest` pixels wide. Raises AssetError without resvg-py; b"" where the drawing cannot be read."""
    try:
        import resvg_py
    except ImportError as error:
        raise AssetError(f"drawings need resvg-py: {install_command('tasks', of='pixelword-lab')}") from error
    try:
        return bytes(resvg_py.svg_to_bytes(svg_string=drawing.decode("utf-8"), width=longest))
    except ValueError:  # also what is not UTF-8
        return b""
