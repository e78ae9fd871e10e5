"""Getting packages by the programs that every registry has: pip, npm and apt-get; checked, cached, never run.

An archive is downloaded into a folder of its own and moved into the cache when it is whole and its hash is right, so
that an interruption, a full disk or a wrong file leaves the cache as it was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pixelword.errors import AssetError
from pixelword.utils.files import sha256
from pixelword_lab.packs.packages import Package

#: Seconds for one package; the largest has 161 MB.
PATIENCE = 1800


def download(package: Package, cache: Path) -> Path:
    """Get a package into the cache, whatever is there already; returns its archive.

    Raises AssetError: the program is missing, it failed, the hash is another, or the disk is full.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".coming-", dir=cache) as folder:
            _run(_command(package, Path(folder)), package, Path(folder))
            archives = [path for path in Path(folder).iterdir() if path.suffix in (".whl", ".tgz", ".gz", ".deb")]
            if len(archives) != 1:
                raise AssetError(f"{_said(package)}: {len(archives)} archives came where one was asked for")
            found = sha256(archives[0])
            if package.sha256 and found != package.sha256:
                raise AssetError(
                    f"{_said(package)}: the archive that came has the hash {found[:12]}…, not {package.sha256[:12]}…; "
                    "it was thrown away"
                )
            kept = cache / archives[0].name
            os.replace(archives[0], kept)
            return kept
    except OSError as error:
        raise AssetError(f"{_said(package)}: cannot be kept in {cache} ({error.strerror}); free some space") from error


def _command(package: Package, folder: Path) -> list[str]:
    if package.kind == "npm":
        wanted = f"{package.name}@{package.version}"
        npm = [_program("npm", package), "pack", "--ignore-scripts", "--silent"]
        return [*npm, "--pack-destination", str(folder), wanted]
    if package.kind == "apt":
        return [_program("apt-get", package), "download", "--quiet", package.name]
    wheel = ["--no-deps", "--only-binary=:all:", "--no-cache-dir"]  # nothing is built: that would run its code
    if package.platform is not None:
        system, python, abi = package.platform
        wheel += ["--platform", system, "--python-version", python, "--implementation", "cp", "--abi", abi]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    return [*pip, *wheel, "--dest", str(folder), f"{package.name}=={package.version}"]


def _program(name: str, package: Package) -> str:
    found = shutil.which(name)
    if found is None:
        raise AssetError(f"{_said(package)} is left out: it comes by {name}, which is not installed")
    return found


def _run(command: Sequence[str], package: Package, folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise AssetError(f"{_said(package)} did not come within {PATIENCE} s; fetch again") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower() or line.startswith("E:")] or lines
        hint = "; apt-get update may help" if package.kind == "apt" else ""
        raise AssetError(f"{_said(package)} could not be got: {errors[-1] if errors else command[0] + ' failed'}{hint}")


def _said(package: Package) -> str:
    version = f" {package.version}" if package.version else ""
    return f"{package.name}{version} ({package.kind})"
