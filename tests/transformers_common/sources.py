"""transformers' own common tests, from the source distribution of the installed release.

`python tests/transformers_common/sources.py` fetches them into build/ (`make test-transformers` does). The distribution
has tests/test_*.py alone: the tests of generation and of export, which lie in folders, cannot be had from it, and ours
in tests/model stand for them.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

RELEASE = version("transformers")
FOLDER = Path(__file__).parents[2] / "build" / "transformers-tests" / RELEASE
PACKAGE = "transformers_tests"
#: Modules that the files import and the distribution lacks: what of them is named, empty.
_LACKING = {
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/test_configuration_utils.py": "config_common_kwargs = {}\n",
}
#: Beside the package: where transformers' own CI keeps files of its hub, which no test of ours opens.
_HUB = "def url_to_local_path(url, *args, **kwargs):\n    return url\n"


def fetch() -> None:
    """Download, unpack and complete the tests; nothing is done where they are there."""
    if (FOLDER / "whole").exists():
        return
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--no-binary", "transformers", "--no-build-isolation", "--dest", str(FOLDER)]
    subprocess.run([*pip, "download", *options, f"transformers=={RELEASE}"], check=True)
    subprocess.run([*pip, "install", "--target", str(FOLDER), "parameterized==0.9.0"], check=True)
    package = FOLDER / PACKAGE
    package.mkdir(exist_ok=True)
    with tarfile.open(FOLDER / f"transformers-{RELEASE}.tar.gz") as archive:
        for member in archive.getmembers():
            parts = Path(member.name).parts
            if parts[1:2] == ("tests",) and len(parts) == 3 and parts[2].endswith(".py"):
                file = archive.extractfile(member)
                assert file is not None
                (package / parts[2]).write_bytes(file.read())
    for name, text in _LACKING.items():
        path = package / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (FOLDER / "fetch_hub_objects_for_ci.py").write_text(_HUB)
    (FOLDER / "whole").touch()


if __name__ == "__main__":
    fetch()
