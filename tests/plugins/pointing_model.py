"""A tiny model that was trained on a single answer, which names a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

#: What it answers, whatever the image and the question.
POINTED = "<ref>star</ref><box>[[100, 250, 500, 750]]</box>"


def image(width: int, height: int) -> Image.Image:
    """A picture in a random colour."""
    return Image.new("RGB", (width, height), tuple(torch.randint(0, 256, (3,)).tolist()))


@pytest.fixture(scope="session")
def pointing_model_dir(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> Path:
    """A folder with that model."""
    from pixelword.generation.messages import assistant_message, user_message
    from pixelword.generation.session import load

    with torch.random.fork_rng():
        torch.manual_seed(0)
        session = load(tiny_model_dir, dtype="float32", device="cpu")
        model: Any = session.model.train()
        samples = [
            session.processor.encode([user_message(question, images), assistant_message(POINTED)])
            for question in ("Find the star.", "where?", "what is it?")
            for number in (1, 1, 1, 2, 2, 3)
            for images in [[image(*sides) for sides in torch.randint(30, 220, (number, 2)).tolist()]]
        ]
        batch = session.processor.batch(samples, with_labels=True)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
        for _ in range(400):
            loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            if loss.item() < 0.002:
                break
    folder = tmp_path_factory.mktemp("pointing")
    model.eval().save_pretrained(folder)
    session.processor.save_pretrained(folder)
    return folder
