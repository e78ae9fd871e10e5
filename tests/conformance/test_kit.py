"""The kit finds wrong models, whatever it drives, and works from a copied folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path

import pixelword_conformance
import pytest
from pixelword_conformance import TOLERANCES, Server, all_checks, url_checks
from pixelword_conformance.golden import CHECKPOINTS
from pixelword_conformance.reference import MISTAKES, Reference
from pixelword_conformance.stand_in import serving
from pixelword_conformance.table import run, selected, verdict

KIT = Path(__file__).parents[2] / "conformance"
#: A port without a class: right, and with the mask causal everywhere.
PORTS = """
from pixelword_conformance.reference import Reference

def right(folder, inputs):
    return Reference(folder).logits(inputs)

def causal(folder, inputs):
    return Reference(folder, "causal-images").logits(inputs)
"""


def quiet(line: str) -> None:
    """The table is not looked at."""


def test_the_reference_holds_to_the_released_values() -> None:
    rows = run(selected(all_checks(), ["released-*"]), Reference, TOLERANCES["float32"])
    assert verdict(rows) == ("30 hold", 0)


#: Its answers are wrong; its logits are off by less than int8 weights are, on images of a few tokens.
SMALL = "one-rotary-base"


@pytest.mark.parametrize(
    ("mistake", "tolerance"),
    [(mistake, name) for mistake in MISTAKES for name in TOLERANCES if name == "float32" or mistake != SMALL],
)
def test_wrong_models_are_caught(mistake: str, tolerance: str) -> None:
    checks = selected(all_checks(), ["tiny-untied/[opv]*"])
    rows = run(checks, partial(Reference, mistake=mistake), TOLERANCES[tolerance], show=quiet)
    assert any(outcome.state == "differs" for _, _, outcome in rows)
    assert not any(outcome.state == "failed" for _, _, outcome in rows)


@pytest.mark.parametrize("checkpoint", ["tiny-untied", "tiny-tied"])
@pytest.mark.parametrize("mistake", [None, *(item for item in MISTAKES if item != "documents-leak")])
def test_wrong_servers_are_caught(checkpoint: str, mistake: str | None) -> None:
    checks = selected(list(url_checks(checkpoint)), ["*/answer", "*/prompt-tokens", "*/logprobs"])
    with serving(CHECKPOINTS / checkpoint, mistake) as address:
        server = Server(address)
        rows = run(checks, lambda folder: server, TOLERANCES["float32"], show=quiet)
    assert not any(outcome.state in ("failed", "skipped") for _, _, outcome in rows if mistake is None)
    assert verdict(rows)[1] == (mistake is not None)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit in a folder of its own."""
    folder = tmp_path_factory.mktemp("stranger") / "kit"
    shutil.copytree(KIT, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "ports.py").write_text(PORTS)
    return folder


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m pixelword_conformance` where pixelword cannot be imported."""
    code = "import sys, runpy; sys.modules['pixelword'] = None; sys.path.insert(0, ''); "
    code += "runpy.run_module('pixelword_conformance', run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True)


def test_a_copied_folder_works_alone(copied: Path) -> None:
    only = ("--only", "tiny-untied/*/logits")
    done = command(copied, "callable", "ports:right", *only)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" in done.stdout and "differ" not in done.stdout  # cuts and batches are not a plain function's
    done = command(copied, "callable", "ports:causal", *only)
    assert done.returncode == 1 and "DIFFERS  tiny-untied/one/logits" in done.stdout


def test_a_copied_folder_drives_a_url(copied: Path) -> None:
    for mistake, code in ((None, 0), ("frames-swapped", 1)):
        with serving(CHECKPOINTS / "tiny-tied", mistake) as address:
            done = command(copied, "url", address, "--checkpoint", "tiny-tied", "--only", "*/video/*")
        assert done.returncode == code, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("callable", "ports:absent"), ("url", "http://127.0.0.1:9"), ("callable", "ports:right", "--only", "x")],
)
def test_a_wrong_command_is_one_line(copied: Path, arguments: tuple[str, ...]) -> None:
    done = command(copied, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_the_pytest_plugin(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "test_port.py").write_text("def test_port(conformance_check):\n    conformance_check()\n")
    options = ["-p", "pixelword_conformance.plugin", "-p", "no:cacheprovider", "-q", "--rootdir", str(tmp_path)]
    options += ["--conformance-only", "tiny-tied/one/*", "--conformance-port"]
    for port, code, summary in (("ports:right", 0, "1 passed, 3 skipped"), ("ports:causal", 1, "1 failed, 3 skipped")):
        arguments = [sys.executable, "-m", "pytest", *options, port, str(tmp_path)]
        done = subprocess.run(arguments, cwd=copied, capture_output=True, text=True)
        assert done.returncode == code and summary in done.stdout, done.stdout + done.stderr


def test_checkpoints_are_small_and_of_the_released_layout() -> None:
    for folder in CHECKPOINTS.iterdir():
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 1_000_000
        assert not list(folder.glob("*.py"))


def test_the_kit_says_its_version() -> None:
    project = tomllib.loads((KIT / "pyproject.toml").read_text())["project"]
    assert project["version"] == pixelword_conformance.__version__
    assert set(project["entry-points"]["pytest11"]) == {"pixelword_conformance"}
    assert "pixelword" not in {dependency.split("[")[0].split(">")[0] for dependency in project["dependencies"]}
