"""Loads a processor's tokenizer and settings from a folder or Hub id; never runs code from there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub.errors import EntryNotFoundError
from transformers.models.auto.tokenization_auto import AutoTokenizer
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils.hub import CHAT_TEMPLATE_DIR, CHAT_TEMPLATE_FILE, cached_file, list_repo_templates

from pixelword.errors import CheckpointError, InputError, reason
from pixelword.model import NeoOVConfig  # registered: a tokenizer without a class is found by its model's type

HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder", "proxies")
IMAGE_SETTINGS = (
    *("min_pixels", "max_pixels", "patch_size", "merge_size", "image_mean", "image_std"),
    *("do_resize", "resample", "do_rescale", "rescale_factor", "do_normalize"),
)
#: Tokenizer settings accepted when loading a processor.
TOKENIZER_SETTINGS = (
    *PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES,
    *("padding_side", "truncation_side", "model_max_length", "clean_up_tokenization_spaces", "extra_special_tokens"),
    *("additional_special_tokens", "split_special_tokens", "add_bos_token", "add_eos_token", "add_prefix_space"),
)
#: Accepted, and without a meaning here: no code of a checkpoint is ever run, and there is one backend.
HARMLESS = ("trust_remote_code", "code_revision", "use_fast", "backend", "dtype", "torch_dtype", "device_map")
PROCESSOR_SETTINGS = ("video_fps", "video_max_frames", "frame_max_pixels")


_PARTS = ("tokenizer", "image_processor", "chat_template")


def load(name: str | os.PathLike[str], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
    """(tokenizer, settings) of a checkpoint; settings["image_processor"] holds the image processor's.

    `kwargs` may hold hub options and any setting, which then wins over the checkpoint's, or the parts themselves:
    tokenizer, image_processor, chat_template. Raises `CheckpointError`; `InputError` for an unknown option.
    """
    known = (*HUB_OPTIONS, *IMAGE_SETTINGS, *TOKENIZER_SETTINGS, *PROCESSOR_SETTINGS, *HARMLESS, *_PARTS)
    unknown = sorted(key for key in kwargs if key not in known and not key.startswith("_"))
    if unknown:
        raise InputError(f"from_pretrained of a processor does not take {', '.join(unknown)}; leave it out")
    hub = {key: kwargs[key] for key in HUB_OPTIONS if kwargs.get(key) is not None}
    if not os.path.isdir(name) and not HUB_NAME.fullmatch(str(name)):
        raise CheckpointError(f"{name}: no such folder; give a checkpoint's folder")
    settings = _settings(name, hub)
    settings["image_processor"].update({key: kwargs[key] for key in IMAGE_SETTINGS if key in kwargs})
    settings.update({key: kwargs[key] for key in PROCESSOR_SETTINGS if key in kwargs})
    if kwargs.get("chat_template") is not None:
        settings["chat_template"] = kwargs["chat_template"]
    tokenizer_settings = {key: kwargs[key] for key in TOKENIZER_SETTINGS if key in kwargs}
    if (tokenizer := kwargs.get("tokenizer")) is not None:
        for key, value in tokenizer_settings.items():
            setattr(tokenizer, key, value)
        return tokenizer, settings
    if not (_file(name, "tokenizer.json", hub) or _file(name, "vocab.json", hub)):
        raise CheckpointError(f"{name}: it has no tokenizer; put tokenizer.json there, or vocab.json and merges.txt")
    try:
        tokenizer = _tokenizer_loader(name, hub)(name, trust_remote_code=False, **hub, **tokenizer_settings)
    except Exception as error:  # the loaders raise a dozen types; all mean that the tokenizer's files are unusable
        raise CheckpointError(f"{name}: its tokenizer cannot be loaded ({error}); put tokenizer.json there") from error
    return tokenizer, settings


def _tokenizer_loader(name: str | os.PathLike[str], hub: dict[str, Any]) -> Callable[..., Any]:
    """What loads the tokenizer: that of the class that it names, or Qwen's, which the released models have, for
    vocab.json and merges.txt alone, of which `AutoTokenizer` makes nothing."""
    named = (_json(name, "tokenizer_config.json", hub) or {}).get("tokenizer_class")
    if named is None and _file(name, "tokenizer.json", hub) is None:
        return Qwen2Tokenizer.from_pretrained
    # the type in a config.json may be another family's, or another package's
    return partial(AutoTokenizer.from_pretrained, config=NeoOVConfig())


def _settings(name: str | os.PathLike[str], hub: dict[str, Any]) -> dict[str, Any]:
    """Return the settings written by `save_pretrained`, or else the vision part of the model's config.json."""
    saved = _json(name, "processor_config.json", hub) or {}
    image = saved.get("image_processor") or _json(name, "preprocessor_config.json", hub) or {}
    if "min_pixels" in image:  # another family's preprocessor_config.json has none and says nothing about this model
        found = {key: image[key] for key in IMAGE_SETTINGS if image.get(key) is not None}
    else:
        config = _json(name, "config.json", hub)
        if config is None:
            raise CheckpointError(f"{name}: no processor_config.json and no config.json; give a checkpoint's folder")
        found = _from_model_config(config)
    settings = {**{key: saved[key] for key in PROCESSOR_SETTINGS if key in saved}, "image_processor": found}
    if saved.get("processor_class") == "NeoOVProcessor":  # so templates beside it were written by `save_pretrained`
        settings["chat_template"] = _templates(name, hub)
    return settings


def _templates(name: str | os.PathLike[str], hub: dict[str, Any]) -> str | dict[str, str] | None:
    """Return a processor's chat template, or several by name.

    They are in chat_template.jinja and additional_chat_templates/NAME.jinja; before transformers 4.48 the one was in
    chat_template.json.
    """
    found = {} if (first := _text(name, CHAT_TEMPLATE_FILE, hub)) is None else {"default": first}
    if not found and (legacy := _json(name, "chat_template.json", hub)) is not None:
        first = legacy.get("chat_template")
        if not isinstance(first, str):
            raise CheckpointError(f"{name}: chat_template.json holds no text chat_template; mend or delete the file")
        return first
    for other in _template_names(name, hub):
        text = _text(name, f"{CHAT_TEMPLATE_DIR}/{other}.jinja", hub)
        if text is not None:
            found[other] = text
    return found["default"] if list(found) == ["default"] else found or None


def _template_names(name: str | os.PathLike[str], hub: dict[str, Any]) -> list[str]:
    if os.path.isdir(name):
        folder = Path(name, hub.get("subfolder", ""), CHAT_TEMPLATE_DIR)
        return sorted(file.stem for file in folder.glob("*.jinja"))
    known: dict[str, Any] = {key: hub[key] for key in ("cache_dir", "token", "revision") if key in hub}
    known["local_files_only"] = hub.get("local_files_only", False)
    try:
        return sorted(file.removesuffix(".jinja") for file in list_repo_templates(str(name), **known))
    except EntryNotFoundError:
        return []


def _from_model_config(config: dict[str, Any]) -> dict[str, Any]:
    vision = config.get("vision_config") or {}
    found = {key: vision[key] for key in ("min_pixels", "max_pixels", "patch_size") if vision.get(key) is not None}
    ratio = vision.get("downsample_ratio") or config.get("downsample_ratio")
    if isinstance(ratio, list):  # a stray comma in the released code made some settings one-element lists
        ratio = ratio[0]
    if ratio:
        found["merge_size"] = round(1 / ratio)
    return found


def _file(name: str | os.PathLike[str], file: str, hub: dict[str, Any]) -> str | None:
    try:
        return cached_file(str(name), file, _raise_exceptions_for_missing_entries=False, **hub)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{name}: cannot be opened ({error}); give a checkpoint's folder") from error


def _text(name: str | os.PathLike[str], file: str, hub: dict[str, Any]) -> str | None:
    path = _file(name, file, hub)
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as text:
            return text.read()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({reason(error)}); mend or delete the file") from error


def _json(name: str | os.PathLike[str], file: str, hub: dict[str, Any]) -> dict[str, Any] | None:
    path = _file(name, file, hub)
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as text:
            content = json.load(text)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not valid JSON ({reason(error)}); mend or delete the file") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds no JSON object; mend or delete the file")
    return content
