"""Makes `pixelword_conformance/checkpoints` and `golden`: tiny checkpoints of the released layout, and golden values.

Everything here is drawn from the seeds below, so that a second run writes the same bytes. Needs `tokenizers` and Pillow
beside what the kit needs. The golden values come from `pixelword_conformance.reference`, in float64.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pixelword_conformance.conversations import CONVERSATIONS, prepared
from pixelword_conformance.golden import CHECKPOINTS, GOLDEN, IMAGES
from pixelword_conformance.reference import MISTAKES, Reference, log_softmax
from pixelword_conformance.types import Array, Inputs
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

#: Layers, pre-buffer layers, query heads, key-value heads, head_dim and tied of each checkpoint.
SHAPES = {"tiny-untied": (3, 1, 4, 2, 16, False), "tiny-tied": (4, 2, 2, 1, 32, True)}
#: Where the search for a seed whose answers are far apart starts; a run of it found this one.
FIRST_SEED = {"tiny-untied": 82, "tiny-tied": 42}
HIDDEN, FEED_FORWARD, VISION = 64, 96, 32
ANSWER = 10
#: A greedy token leads the second by at least this, so that rounding decides none in float32.
MARGIN = 0.01
#: Different tokens that an answer has at least.
DISTINCT = 2
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<IMG_CONTEXT>", "<img>", "</img>", "<quad>", "</quad>")
CONTROLS += ("<ref>", "</ref>", "<box>", "</box>")
#: How Qwen's tokenizer cuts text before it merges bytes.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = (
    "The time range of this video is the following series of frames sampled at each second. What is in this image, "
    "which of the pictures shows the larger square, where does it go, and how many are there? user assistant system "
)


def tokenizer() -> Tokenizer:
    """Bytes, and a few merges learned from `TEXT`."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made.train_from_iterator(
        [TEXT], trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_special_tokens([AddedToken(item, special=True, normalized=False) for item in CONTROLS])
    return made


def images() -> None:
    """A square on a gradient each, with sides that need no resizing; four frames in which it moves to the right."""
    IMAGES.mkdir(exist_ok=True)
    shapes = {"one": (64, 96, 10, 30), "left": (96, 64, 50, 12), "right": (64, 64, 6, 34)}
    shapes |= {f"frame-{number}": (32, 64, 8, 4 + 14 * number) for number in range(4)}
    for name, (height, width, top, left) in shapes.items():
        y, x = np.mgrid[:height, :width]
        pixels = np.stack((x * 255 // width, y * 255 // height, (x + y) * 2 % 256), -1).astype(np.uint8)
        pixels[top : top + 20, left : left + 18] = (230, 40, 10 + 60 * (len(name) % 4))
        Image.fromarray(pixels).save(IMAGES / f"{name}.png")


def config(name: str, words: Tokenizer) -> dict[str, Any]:
    """As a released `config.json`."""
    layers, extra, heads, kv_heads, head_dim, tied = SHAPES[name]
    text = {
        "architectures": ["Qwen3ForCausalLM"],
        "vocab_size": words.get_vocab_size(),
        "hidden_size": HIDDEN,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": layers,
        "extra_num_layers": extra,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": 2048,
        "max_position_embeddings_hw": 1000,
        "rope_theta": 1000000.0,
        "rope_theta_hw": 10000.0,
        "rms_norm_eps": 1e-06,
        "attention_bias": False,
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "eos_token_id": words.token_to_id("<|im_end|>"),
        "pad_token_id": words.token_to_id("<|endoftext|>"),
    }
    vision = {
        "hidden_size": VISION,
        "llm_hidden_size": HIDDEN,
        "patch_size": 16,
        "num_channels": 3,
        "downsample_ratio": 0.5,
        "rope_theta_vision": 10000.0,
        "max_position_embeddings_vision": 1000,
        "min_pixels": 1024,
        "max_pixels": 16384,
    }
    return {
        "architectures": ["NEOChatModel"],
        "model_type": "neo_chat",
        "vision_config": vision,
        "llm_config": text,
        "img_context_token_id": words.token_to_id("<IMG_CONTEXT>"),
        "img_start_token_id": words.token_to_id("<img>"),
        "img_end_token_id": words.token_to_id("</img>"),
        "downsample_ratio": 0.5,
        "template": "neo1_0",
        "tie_word_embeddings": tied,
    }


def bfloat16(x: Array) -> Array:
    """The nearest values that bfloat16 has, as float32: a port that holds weights in bfloat16 has the same ones."""
    bits = x.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def weights(name: str, seed: int, words: Tokenizer) -> dict[str, Array]:
    """Random, of such sizes that every part matters. Answers are of printable ASCII: what else the vocabulary holds has
    short rows, which the head never chooses."""
    layers, _, heads, kv_heads, head_dim, tied = SHAPES[name]
    random = np.random.default_rng(seed)
    made: dict[str, Array] = {}

    def matrix(key: str, *shape: int, gain: float = 1.0) -> None:
        made[key] = gain * random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))

    def norms(key: str, size: int) -> None:
        made[key] = random.uniform(0.6, 1.4, size)

    prefix = "vision_model.embeddings."
    matrix(prefix + "patch_embedding.weight", VISION, 3, 16, 16)
    made[prefix + "patch_embedding.bias"] = random.standard_normal(VISION) / 4
    matrix(prefix + "dense_embedding.weight", HIDDEN, VISION, 2, 2, gain=3.0)
    made[prefix + "dense_embedding.bias"] = random.standard_normal(HIDDEN) / 4
    for number in range(layers):
        layer = f"language_model.model.layers.{number}."
        for part, count in (("q", heads), ("k", kv_heads)):
            matrix(f"{layer}self_attn.{part}_proj.weight", count * head_dim, HIDDEN)
            matrix(f"{layer}self_attn.{part}_proj_hw.weight", count * head_dim, HIDDEN)
            norms(f"{layer}self_attn.{part}_norm.weight", head_dim)
            norms(f"{layer}self_attn.{part}_norm_h.weight", head_dim // 2)
            norms(f"{layer}self_attn.{part}_norm_w.weight", head_dim // 2)
        matrix(f"{layer}self_attn.v_proj.weight", kv_heads * head_dim, HIDDEN)
        matrix(f"{layer}self_attn.o_proj.weight", HIDDEN, heads * head_dim, gain=2.0)
        for part in ("gate", "up"):
            matrix(f"{layer}mlp.{part}_proj.weight", FEED_FORWARD, HIDDEN)
        matrix(f"{layer}mlp.down_proj.weight", HIDDEN, FEED_FORWARD, gain=1.5)
        norms(f"{layer}input_layernorm.weight", HIDDEN)
        norms(f"{layer}post_attention_layernorm.weight", HIDDEN)
    norms("language_model.model.norm.weight", HIDDEN)
    size = words.get_vocab_size()
    texts = [words.decode([item], skip_special_tokens=True) for item in range(size)]
    plain = np.array([bool(text) and text.isprintable() and text.isascii() for text in texts])
    rows = random.standard_normal((size, HIDDEN)) * np.where(plain, 1.0, 0.15)[:, None] / (8 if tied else 1)
    made["language_model.model.embed_tokens.weight"] = rows
    if not tied:
        head = random.standard_normal((size, HIDDEN)) / 4
        made["language_model.lm_head.weight"] = head * np.where(plain, 1.0, 0.15)[:, None]
    return {key: bfloat16(value) for key, value in made.items()}


def write_checkpoint(name: str, seed: int, words: Tokenizer) -> Path:
    folder = CHECKPOINTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = config(name, words)
    tokens = {"eos_token_id": settings["llm_config"]["eos_token_id"], "pad_token_id": words.token_to_id(CONTROLS[0])}
    files = {
        "config.json": settings,
        "generation_config.json": tokens,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "additional_special_tokens": list(CONTROLS[1:]),
            "clean_up_tokenization_spaces": False,
            "model_max_length": 2048,
        },
        "preprocessor_config.json": {
            "patch_size": 16,
            "merge_size": 2,
            "min_pixels": 1024,
            "max_pixels": 16384,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    }
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content, indent=1) + "\n")
    words.save(str(folder / "tokenizer.json"))
    shutil.copyfile(Path(__file__).parent / "chat_template.jinja", folder / "chat_template.jinja")
    save(weights(name, seed, words), folder / "model.safetensors", {"format": "pt", "seed": str(seed)})
    return folder


def save(tensors: dict[str, Array], path: Path, metadata: dict[str, str]) -> None:
    save_file(tensors, path, metadata)
    path.chmod(0o644)  # safetensors makes it the user's own


def margins(logits: Array) -> Array:
    highest = np.sort(logits, -1)
    return highest[:, -1] - highest[:, -2]


def telling(folder: Path, cases: dict[str, Inputs], words: Tokenizer) -> dict[str, tuple[list[int], Array]] | None:
    """Greedy answers of every case, if none is close to another one and every mistake changes one; else None."""
    reference = Reference(folder)
    answers = {}
    for name, inputs in cases.items():
        tokens, logits = reference.generate_with_logits(inputs, ANSWER)
        text = words.decode(tokens)
        clear = margins(logits).min() >= MARGIN and len(set(tokens)) >= DISTINCT
        if not clear or not (text.isascii() and text.isprintable()) or text != text.strip():
            return None
        answers[name] = tokens, logits
    single = [name for name, inputs in cases.items() if inputs.starts == (0,)]
    for mistake in MISTAKES:
        wrong = Reference(folder, mistake)
        if mistake != "documents-leak" and all(wrong.generate(cases[o], ANSWER) == answers[o][0] for o in single):
            return None
    return answers


def write_golden(name: str, words: Tokenizer) -> None:
    for seed in range(FIRST_SEED[name], 100_000):
        folder = write_checkpoint(name, seed, words)
        cases = {item.name: prepared(item, words) for item in CONVERSATIONS}
        if (answers := telling(folder, cases, words)) is not None:
            break
    else:
        raise SystemExit(f"{name}: no seed gives answers that are far apart")
    reference, tensors, described = Reference(folder), {}, []
    for item in CONVERSATIONS:
        inputs, (tokens, logits) = cases[item.name], answers[item.name]
        chosen = log_softmax(logits)[np.arange(ANSWER), tokens]
        tensors |= {
            f"{item.name}.input_ids": inputs.input_ids,
            f"{item.name}.positions": reference.positions(inputs),
            f"{item.name}.logits": reference.logits(inputs).astype(np.float32),
            f"{item.name}.new_tokens": np.array(tokens, np.int64),
            f"{item.name}.margins": margins(logits).astype(np.float32),
            f"{item.name}.logprobs": chosen.astype(np.float32),
        }
        if len(inputs.grid_hw):
            visual = reference.embeddings(inputs.pixel_values, inputs.grid_hw)
            tensors[f"{item.name}.embeddings"] = visual.astype(np.float32)
        pieces = [words.decode([token]) for token in tokens]
        described.append({"name": item.name, "prompt": item.prompt(), "answer": words.decode(tokens), "pieces": pieces})
    GOLDEN.mkdir(exist_ok=True)
    save(tensors, GOLDEN / f"{name}.safetensors", {"seed": str(seed)})
    (GOLDEN / f"{name}.json").write_text(json.dumps({"seed": seed, "cases": described}, indent=1) + "\n")
    print(f"{name}: seed {seed}, {(folder / 'model.safetensors').stat().st_size:,} bytes of weights")


if __name__ == "__main__":
    images()
    made = tokenizer()
    for checkpoint in SHAPES:
        write_golden(checkpoint, made)
