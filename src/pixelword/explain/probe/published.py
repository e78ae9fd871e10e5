"""Values that studies published for the released NEO 1.0 weights: what a holder of those weights should see.

They were measured on POPE (accuracy) by patching the released modelling file, and are quoted, not reproduced, here.
"""

from __future__ import annotations

KNOCKOUT = (
    ("NEO 1.0, POPE accuracy, nothing cut", ".912"),
    ("text to image cut in the pre-buffer", ".922"),
    ("text to image cut in the rest", ".422"),
)
SPLIT = (("NEO 1.0, POPE accuracy, one pass", ".910"), ("two passes through the pre-buffer", ".907"))
CENTRE = (("fusion centre of mass, share of depth, over eight models", ".48-.56"),)
SINKS = (("NEO 1.0, share of attention on sinks", ".23"),)
