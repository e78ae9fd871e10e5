"""HTML page of samples and packs exactly as the model sees them.

A self-contained file: images rebuilt from the patches, every token with its label and loss weight, the documents of
each row, and the attention mask drawn from the interval. Everything comes from the `Pack`'s tensors and the functions
the model calls, so that data bugs show on the page, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from pixelword.data.packing.packer import Packer, visible_pairs
from pixelword.data.types import DocumentSpan, Fault, Pack
from pixelword.errors import InputError, PixelwordError
from pixelword.model.masks import interval
from pixelword.model.rope import rope_index
from pixelword.processing.images import unpatchify
from pixelword.processing.media_io import data_url
from pixelword.processing.media_io import describe as source_name
from pixelword.processing.types import ImageSpan, Sample
from pixelword.processing.videos import Video
from pixelword.utils.files import atomic_write

if TYPE_CHECKING:
    from pixelword.data.packing.packer import LossWeight
    from pixelword.processing.options import MediaOptions
    from pixelword.processing.processor import NeoOVProcessor

_DIGITS = 5  # of a loss weight, enough to tell 1/sqrt(n) of two answers apart


@dataclass(frozen=True)
class Sheet:
    """A pack, or a single sample in a row of its own length (None if it cannot be read).

    group: "pack", or the source of a sample. said: the conversation as it was written, (role, words) a turn.
    """

    title: str
    group: str
    pack: Pack | None
    said: tuple[tuple[str, str], ...] = ()
    faults: tuple[Fault, ...] = ()


def pack_sheet(pack: Pack, number: int) -> Sheet:
    """Return the sheet of pack `number`."""
    return Sheet(f"pack {number}", "pack", pack, faults=pack.faults)


def sample_sheet(
    sample: Sample,
    name: str,
    group: str,
    processor: NeoOVProcessor,
    *,
    media: MediaOptions | None = None,
    loss_weight: LossWeight = "square",
) -> Sheet:
    """Return the sheet of one sample, encoded as in training, or with the reason why it cannot be."""
    turns = tuple((str(message.get("role", "?")), _as_written(message.get("content"))) for message in sample.messages)
    try:
        encoded = processor.encode(sample.messages, media=media)
    except PixelwordError as error:
        return Sheet(name, group, None, turns, (Fault(name, str(error)),))
    packer = Packer(1, len(encoded), processor.pad_token_id, loss_weight)
    packer.add(encoded, name)
    return Sheet(name, group, packer.pack(), turns)


def _as_written(content: Any) -> str:
    """Format a turn as written: text, with [image: …] for media."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    return "".join(_part_as_written(part) for part in parts)


def _part_as_written(part: Any) -> str:
    if not isinstance(part, Mapping):
        return f"[{part!r}]"
    if part.get("type") == "text":
        return str(part.get("text"))
    kind = str(part.get("type"))
    source = part.get(kind)
    if isinstance(source, Image.Image):
        return f"[{kind}: {source.width}×{source.height} pixels]\n"
    if isinstance(source, Video):
        return f"[{kind}: {len(source.frames)} frames]\n"
    return f"[{kind}: {source_name(source)}]\n"


def page(title: str, facts: Mapping[str, str], sheets: Iterable[Sheet], processor: NeoOVProcessor) -> str:
    """Render the page as HTML. `facts`: shown at its top, by name. Raises InputError if there are no sheets."""
    from jinja2 import Environment, FileSystemLoader

    described = [describe(sheet, processor) for sheet in sheets]
    if not described:
        raise InputError("no packs and no samples to show; request at least one")
    ids = {token for sheet in described for row in sheet["rows"] for token in row["ids"]}
    data = {
        "sheets": described,
        "pieces": {token: _piece(processor.tokenizer, token) for token in sorted(ids)},
        "control": sorted(ids.intersection(processor.encoder.added.values())),
    }
    here = Path(__file__).parent
    template = Environment(loader=FileSystemLoader(here), autoescape=True).get_template("view.html.jinja")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("view.css", "view.js"))
    return template.render(title=title, facts=facts, data=data, style=style, script=script)


def write_page(
    path: Path, title: str, facts: Mapping[str, str], sheets: Iterable[Sheet], processor: NeoOVProcessor
) -> int:
    """Write the page atomically; return its size in bytes. Raises InputError if it cannot be written."""
    return atomic_write(path, page(title, facts, sheets, processor))


def _piece(tokenizer: Any, token: int) -> str:
    """Return a token's text, or the tokenizer's name for it if it is part of a character."""
    text = tokenizer.decode([token])
    return str(tokenizer.convert_ids_to_tokens(token)) if "\ufffd" in text else str(text)


def describe(sheet: Sheet, processor: NeoOVProcessor) -> dict[str, Any]:
    """Convert a sheet to JSON data for the page's script, one entry of `rows` per row of the pack."""
    pack = sheet.pack
    described: dict[str, Any] = {
        "title": sheet.title,
        "group": sheet.group,
        "said": [list(turn) for turn in sheet.said],
        "faults": [[fault.name, fault.reason] for fault in sheet.faults],
        "rows": [],
    }
    if pack is None:
        return described
    merge = processor.image_processor.merge_size
    visual = pack.mm_token_type_ids != 0
    positions = rope_index(visual, pack.image_grid_hw // merge, None, pack.cu_seqlens)
    visible = interval(positions, cu_seqlens=pack.cu_seqlens)
    t, h, w = positions[0], positions[1] - positions[0], positions[2] - positions[0]
    columns = {
        "ids": pack.input_ids, "types": pack.mm_token_type_ids, "labels": pack.labels,
        "t": t, "h": h, "w": w, "lo": visible.lo, "hi": visible.hi,
    }  # fmt: skip
    for row in range(pack.input_ids.shape[0]):
        described["rows"].append(
            {
                **{name: column[row].tolist() for name, column in columns.items()},
                "weights": [round(weight, _DIGITS) for weight in pack.loss_weight[row].tolist()],
                "documents": _documents(pack, row, processor),
            }
        )
    rows, length = pack.input_ids.shape
    described["facts"] = {
        "rows": rows, "length": length, "tokens": pack.tokens, "documents": len(pack.documents),
        "pictures": pack.image_grid_hw.shape[0], "patches": pack.pixel_values.shape[0],
        "learnt": int((pack.loss_weight > 0).sum()), "weight": round(pack.weight, 3), "pairs": pack.pairs,
        "padding": 1 - pack.tokens / (rows * length),
    }  # fmt: skip
    return described


def _documents(pack: Pack, row: int, processor: NeoOVProcessor) -> list[dict[str, Any]]:
    """Return the documents of a row in order, its padding last."""
    own = [document for document in pack.documents if document.row == row]
    found = [_document(document, pack, processor) for document in own]
    used, length = own[-1].stop if own else 0, pack.input_ids.shape[1]
    if used < length:
        padding = DocumentSpan(row, used, length)
        found.append({**_document(padding, pack, processor), "padding": True, "pairs": 0})
    return found


def _document(document: DocumentSpan, pack: Pack, processor: NeoOVProcessor) -> dict[str, Any]:
    """Return a document's span, name and images."""
    weights = pack.loss_weight[document.row, document.tokens]
    return {
        "start": document.start,
        "stop": document.stop,
        "name": document.name,
        "padding": False,
        "weight": round(float(weights.sum()), 3),
        "learnt": int((weights > 0).sum()),
        "pairs": visible_pairs(len(document), map(len, document.images)),
        "pictures": [_picture(image, pack, processor) for image in document.images],
    }


def _picture(image: ImageSpan, pack: Pack, processor: NeoOVProcessor) -> dict[str, Any]:
    """Return an image's first token in the row, its grid in visual tokens, and its pixels as a PNG."""
    images = processor.image_processor
    rows, columns = image.grid_hw
    patches = pack.pixel_values[image.patches].numpy()
    pixels = unpatchify(patches, image.grid_hw, images.patch_size, mean=images.image_mean, std=images.image_std)
    return {
        "start": image.start,
        "rows": rows // images.merge_size,
        "columns": columns // images.merge_size,
        "merge": images.merge_size,
        "patch": images.patch_size,
        # a photograph gets hardly smaller above level 3
        "src": data_url(Image.fromarray(pixels), "PNG", compress_level=3),
    }
