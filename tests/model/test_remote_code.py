"""The code that a checkpoint carries is never run, not even by those who say that they trust it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

import pixelword
from pixelword.model import NeoOVConfig, NeoOVForConditionalGeneration, NeoOVModel
from pixelword.processing.image_processor import NeoOVImageProcessor
from pixelword.processing.processor import NeoOVProcessor


@pytest.fixture
def trap(tiny_model_dir: Path, tmp_path: Path) -> Path:
    """A whole checkpoint whose every configuration points to code that would leave a file."""
    folder = Path(shutil.copytree(tiny_model_dir, tmp_path / "trap"))
    code = f"open({str(tmp_path / 'sprung')!r}, 'w').close()\nclass Any: pass\nConfig = Model = Processor = Any\n"
    for name in ("malicious.py", "configuration_neo_chat.py", "modeling_neo_chat.py"):
        (folder / name).write_text(code)
    auto_map = {
        "AutoConfig": "malicious.Config",
        "AutoModel": "malicious.Model",
        "AutoModelForCausalLM": "malicious.Model",
        "AutoModelForImageTextToText": "malicious.Model",
        "AutoProcessor": "malicious.Processor",
        "AutoImageProcessor": "malicious.Processor",
        "AutoTokenizer": ["malicious.Processor", "malicious.Processor"],
    }
    files = ("config.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json")
    for name in files:
        path = folder / name
        content = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**content, "auto_map": auto_map}))
    return folder


@pytest.mark.parametrize("trust", [None, False, True])
def test_auto_classes_take_ours(trap: Path, trust: bool | None) -> None:
    options: dict[str, Any] = {} if trust is None else {"trust_remote_code": trust}
    assert type(AutoConfig.from_pretrained(trap, **options)) is NeoOVConfig
    assert type(AutoModel.from_pretrained(trap, **options)) is NeoOVModel
    assert type(AutoModelForImageTextToText.from_pretrained(trap, **options)) is NeoOVForConditionalGeneration
    assert type(AutoProcessor.from_pretrained(trap, **options)) is NeoOVProcessor
    assert not (trap.parent / "sprung").exists()


@pytest.mark.parametrize("trust", [None, False, True])
def test_the_auto_image_processor_takes_ours(trap: Path, trust: bool | None) -> None:
    try:
        found = AutoImageProcessor.from_pretrained(trap, **({} if trust is None else {"trust_remote_code": trust}))
    except ImportError as error:  # transformers 5.16's needs torchvision
        pytest.skip(str(error).strip().splitlines()[0])
    assert type(found) is NeoOVImageProcessor
    assert not (trap.parent / "sprung").exists()


def test_our_own_loader_does_not_run_it(trap: Path) -> None:
    assert isinstance(pixelword.load(str(trap), device="cpu").ask("what?"), str)
    assert not (trap.parent / "sprung").exists()


def test_what_is_written_points_to_no_code(trap: Path, tmp_path: Path) -> None:
    from pixelword.checkpoints.load import convert

    convert(trap, tmp_path / "converted")
    for path in (tmp_path / "converted").glob("*.json"):
        assert "auto_map" not in path.read_text()
    assert not list((tmp_path / "converted").glob("*.py"))
