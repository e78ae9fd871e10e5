"""VLMEvalKit's `run.py` with our models in its table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pixelword.errors import PixelwordError
from pixelword.integrations.vlmevalkit import NAMES, register


def main(words: Sequence[str]) -> None:
    """Parse our `--weights SIZE=DIR` (repeatable); all other options are VLMEvalKit's."""
    parser = argparse.ArgumentParser(
        prog="python -m pixelword.integrations.vlmevalkit",
        description=f"VLMEvalKit with {', '.join(NAMES)}; options that are not here are its own.",
    )
    parser.add_argument("--weights", action="append", default=[], metavar="2B=DIR|9B=DIR", help="whose folder is which")
    ours, theirs = parser.parse_known_args(words)
    given = dict(weight.partition("=")[::2] for weight in ours.weights)
    if not given or not all(given.values()):
        parser.error("say where the weights are: --weights 2B=DIR")
    try:
        from vlmeval import config, run
    except ImportError as error:
        parser.error(f"VLMEvalKit is not installed ({error}): pip install ms-vlmeval, in an environment of its own")
    try:
        register(config.supported_VLM, given)
    except PixelwordError as error:
        parser.error(str(error))
    sys.argv = ["run.py", *theirs]  # where its own parser looks
    run.main()


if __name__ == "__main__":
    main(sys.argv[1:])
