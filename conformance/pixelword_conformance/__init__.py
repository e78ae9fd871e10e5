"""Checks of a NEO-ov port: tiny checkpoints, golden values, and what compares the two. See README.md beside it."""

from .checks import Check, Outcome, all_checks
from .ports import Port
from .transformers_port import TransformersPort
from .types import TOLERANCES, Inputs, NotOffered, Tolerance
from .url import Server, url_checks

__all__ = [
    "TOLERANCES",
    "Check",
    "Inputs",
    "NotOffered",
    "Outcome",
    "Port",
    "Server",
    "Tolerance",
    "TransformersPort",
    "all_checks",
    "url_checks",
]
__version__ = "0.1.0"
