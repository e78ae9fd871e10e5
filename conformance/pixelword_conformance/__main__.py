"""`python -m pixelword_conformance`: what holds of a port, as a table; exit code 1 where something does not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .checks import all_checks
from .golden import CHECKPOINTS, TINY
from .ports import from_name
from .reference import MISTAKES, Reference
from .table import run, selected, verdict
from .transformers_port import TransformersPort
from .types import TOLERANCES
from .url import Server, url_checks

EXAMPLES = """examples:
  python -m pixelword_conformance callable my_port:Port
  python -m pixelword_conformance transformers --import my_package --attention sdpa
  python -m pixelword_conformance url http://127.0.0.1:8000 --checkpoint tiny-untied
  python -m pixelword_conformance self-test
"""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "pixelword_conformance", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True, metavar="VERB")
    function = verbs.add_parser("callable", help="a Python class or function, module:name")
    function.add_argument("port", help="module:name; see pixelword_conformance/ports.py")
    model = verbs.add_parser("transformers", help="classes behind AutoModelForImageTextToText")
    model.add_argument("--import", dest="imports", action="append", default=[], metavar="MODULE", help="registers them")
    model.add_argument("--dtype", default="float32", help="type of the weights (float32)")
    model.add_argument("--device", default="cpu")
    model.add_argument("--attention", help="attn_implementation")
    model.add_argument("--trust-remote-code", action="store_true")
    url = verbs.add_parser("url", help="an OpenAI-compatible server that answers with one of the tiny checkpoints")
    url.add_argument("address", help="http://host:port")
    url.add_argument("--checkpoint", choices=TINY, default=TINY[0], help="what the server was started with")
    url.add_argument("--model", help="name that the server knows it by; its first by default")
    url.add_argument("--api-key")
    own = verbs.add_parser("self-test", help="the kit's reference against the released code's values, and wrong models")
    listing = verbs.add_parser("list", help="names of the checks")
    verbs.add_parser("folder", help="where the tiny checkpoints are")
    for verb in (function, model, url, own, listing):
        verb.add_argument(
            "--only", action="append", default=[], metavar="PATTERN", help="checks by name, like */greedy"
        )
    for verb in (function, model, url):
        verb.add_argument(
            "--tolerance", choices=tuple(TOLERANCES), default="float32", help="how far is equal (float32)"
        )
    return made


def self_test(patterns: Sequence[str]) -> int:
    """The reference agrees, and every mistake is found."""
    checks = selected(all_checks(), patterns)
    rows = run(checks, Reference, TOLERANCES["float32"])
    text, code = verdict(rows)
    print(text)
    for mistake, what in MISTAKES.items():
        wrong = run(checks, partial(Reference, mistake=mistake), TOLERANCES["float32"], show=lambda line: None)
        found = sum(outcome.state == "differs" for _, _, outcome in wrong)
        print(f"{'caught' if found else 'MISSED':8} {what}: {found} checks differ")
        code |= not found
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 2 where the command itself is wrong."""
    given = parser().parse_args(arguments)
    try:
        if given.verb == "folder":
            print(CHECKPOINTS)
            return 0
        if given.verb == "self-test":
            return self_test(given.only)
        make: Callable[..., Any]
        if given.verb == "url":
            server = Server(given.address, given.model, given.api_key)
            checks, make = list(url_checks(given.checkpoint)), lambda folder: server
        else:
            checks = all_checks()
        checks = selected(checks, given.only)
        if given.verb == "list":
            print("\n".join(f"{check.name:44} {check.origin}" for check in checks))
            return 0
        if given.verb == "callable":
            make = from_name(given.port)
        if given.verb == "transformers":
            options = {name: getattr(given, name) for name in ("imports", "dtype", "device", "attention")}
            make = partial(TransformersPort, trust_remote_code=given.trust_remote_code, **options)
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text, code = verdict(run(checks, make, TOLERANCES[given.tolerance]))
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
