"""Asks nano, the packaged model, seven questions by the command line, and checks the answers: `make demo`."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: What follows `pixelword ask`, and the right answer.
QUESTIONS = (
    (("examples/red_circle.png", "what colour is the circle?"), "red"),
    (("examples/three_squares.png", "how many objects are there?"), "3"),
    (("examples/left_right.png", "what is on the left?"), "a yellow star"),
    (("examples/left_right.png", "examples/three_squares.png", "which picture has more objects?"), "the second"),
    (("--video", "examples/moving_right.mp4", "which way does it move?"), "right"),
    (("what is 2 plus 3?",), "5"),
    (("what is the opposite of hot?",), "cold"),
)


def ask(pixelword: str, words: tuple[str, ...], expected: str) -> bool:
    """Run one command; print it, its answer, and whether that is right."""
    print(f"$ pixelword ask {shlex.join(words)}", flush=True)
    done = subprocess.run([pixelword, "ask", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    answer = done.stdout.strip()
    right = done.returncode == 0 and answer == expected
    print(f"✓ {answer}" if right else f"✗ {answer or '(no answer)'}: expected {expected}", flush=True)
    return right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(sys.executable).with_name("pixelword")
    parser.add_argument("--pixelword", default=str(default), help="the command to run (default: beside this Python)")
    command = os.path.abspath(parser.parse_args().pixelword)
    wrong = sum(not ask(command, words, expected) for words, expected in QUESTIONS)
    if wrong:
        print(f"{wrong} of {len(QUESTIONS)} answers are wrong: `pixelword version` says what is installed")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
