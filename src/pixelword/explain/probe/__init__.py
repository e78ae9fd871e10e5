"""Probes: where pixels meet words in a model, measured on questions with known answers, each with a control."""

from pixelword.explain.probe.intervention import Intervention
from pixelword.explain.probe.split import allow_late_reading
from pixelword.explain.probe.study import PROBES, probe
from pixelword.explain.probe.types import Bar, Curve, Finding, Grid

__all__ = ["PROBES", "Bar", "Curve", "Finding", "Grid", "Intervention", "allow_late_reading", "probe"]
