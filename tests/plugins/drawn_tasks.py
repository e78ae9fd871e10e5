"""What tests of task families share: a pre-rendered pool, a task's image, the questions of a kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from PIL import Image

from pixelword.synthetic.assets import Assets, write_pack
from pixelword.synthetic.types import Question
from pixelword_lab.family import Task

Render = Callable[..., tuple[dict[str, bytes], dict[str, Any]]]


def write_pool(folder: Path, name: str, render_item: Render, number: int, *, test_every: int) -> Assets:
    """Render `number` items from the folder's packs into a pack of this name; every `test_every`-th is held out."""
    plain = Assets(folder)

    def items() -> Iterator[tuple[dict[str, Any], dict[str, bytes]]]:
        for place in range(number):
            split = "train" if place % test_every else "test"
            files, facts = render_item(Random(f"pool {place}"), split, plain)
            named = {f"{place}/{file}": content for file, content in files.items()}
            yield {**facts, "key": str(place), "split": split, "file": f"{place}/{facts['file']}"}, named

    write_pack(folder / f"{name}.zip", items(), licences={})
    return Assets(folder)


def image_of(task: Task) -> Image.Image:
    image = task.media[0]["image"]
    assert isinstance(image, Image.Image) and image.mode == "RGB"
    return image


def questions_of(tasks: list[Task], kind: str) -> list[tuple[Task, Question]]:
    return [(task, question) for task in tasks for question in task.questions if question.kind == kind]
