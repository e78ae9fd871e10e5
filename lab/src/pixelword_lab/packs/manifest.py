"""What is stored in an assets folder and where it came from: `manifest.json`, written whole after every step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pixelword.errors import AssetError, reason
from pixelword.utils.files import atomic_file

_FILE = "manifest.json"


@dataclass
class Fetched:
    """A package's archive in `archives/`. fetched: the day, ISO."""

    kind: str
    version: str
    sha256: str
    licence: str
    file: str
    bytes: int
    fetched: str


@dataclass
class Built:
    """A pack. made_of: package -> the hash of the archive it was made of. versions: package -> its builder's."""

    items: int
    bytes: int
    made_of: dict[str, str]
    versions: dict[str, int]
    licences: dict[str, str]
    built: str


@dataclass
class Manifest:
    """packages and packs by name."""

    folder: Path
    packages: dict[str, Fetched] = field(default_factory=dict)
    packs: dict[str, Built] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Of an assets folder; an empty one where nothing was fetched. Raises AssetError: damaged."""
        path = folder / _FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            packages = {name: Fetched(**item) for name, item in content["packages"].items()}
            return cls(folder, packages, {name: Built(**item) for name, item in content["packs"].items()})
        except FileNotFoundError:
            return cls(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AssetError(f"{path} is damaged ({reason(error)}): delete it, then fetch again") from error

    def write(self) -> None:
        """Whole or not at all. Raises AssetError: it cannot be written."""
        path = self.folder / _FILE
        content = {
            "packages": {name: asdict(item) for name, item in sorted(self.packages.items())},
            "packs": {name: asdict(item) for name, item in sorted(self.packs.items())},
        }
        try:
            with atomic_file(path) as unfinished:
                unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        except OSError as error:
            raise AssetError(
                f"{path} cannot be written ({error.strerror}); free some space, then fetch again"
            ) from error
