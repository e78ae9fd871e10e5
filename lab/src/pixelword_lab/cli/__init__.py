"""The verbs of the lab, which `pixelword` finds by entry points: tasks, ablate, speedrun, lab."""
