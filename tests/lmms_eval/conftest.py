"""Tests inside lmms-eval: `make test-lmms` runs them in an environment of its own. Elsewhere they are not collected."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HAS_LMMS = importlib.util.find_spec("lmms_eval") is not None
collect_ignore_glob = [] if HAS_LMMS else ["test_*.py"]

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Task -> (rows, how it is asked). Small local tasks of every kind that lmms-eval has; media lie in examples/.
ROWS: dict[str, list[dict[str, Any]]] = {
    "picture": [
        {"question": "what colour is the circle?", "media": ["red_circle.png"], "answer": "red"},
        {"question": "how many objects are there?", "media": ["three_squares.png"], "answer": "3"},
        {"question": "what is on the left?", "media": ["left_right.png"], "answer": "a yellow star"},
    ],
    "pictures": [
        {
            "question": "which picture has more objects?",
            "media": ["left_right.png", "three_squares.png"],
            "answer": "the second",
        }
    ],
    "video": [{"question": "which way does it move?", "media": ["moving_right.mp4"], "answer": "right"}],
    "rounds": [{"question": "what colour is the circle?", "media": ["red_circle.png"], "answer": "red|circle"}],
    "choices": [
        {
            "question": "what colour is the circle?",
            "media": ["red_circle.png"],
            "answer": 1,
            "choices": ["blue", "red"],
        },
        {
            "question": "how many objects are there?",
            "media": ["three_squares.png"],
            "answer": 2,
            "choices": ["1", "2", "3"],
        },
    ],
}
KINDS = {"rounds": "generate_until_multi_round", "choices": "multiple_choice"}

UTILS = '''
"""What the tasks share."""
import os

from PIL import Image

EXAMPLES = {examples!r}


def visuals(doc):
    paths = [os.path.join(EXAMPLES, name) for name in doc["media"]]
    return [path if path.endswith(".mp4") else Image.open(path).convert("RGB") for path in paths]


def text(doc, lmms_eval_specific_kwargs=None, round_idx=None, previous_output=None, previous_round_info=None):
    if round_idx is None:
        return doc["question"]
    if round_idx == 2:
        return None, None, True, previous_output, previous_round_info
    assert previous_output[-1] == "red", previous_output
    return visuals(doc), "what shape is it?", False, previous_output, previous_round_info


def scored(doc, results):
    said = results[0] if isinstance(results[0], list) else results
    return {{"right": float("|".join(said).strip() == doc["answer"])}}
'''
YAML = """
task: pixelword_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {rows}}}}}
test_split: test
output_type: {kind}
doc_to_visual: !function utils.visuals
doc_to_text: !function utils.text
doc_to_target: answer
{more}
metadata: {{version: 1}}
"""
GENERATED = """
generation_kwargs: {max_new_tokens: 16, temperature: 0, do_sample: false}
process_results: !function utils.scored
metric_list: [{metric: right, aggregation: mean, higher_is_better: true}]
"""
CHOSEN = """
doc_to_choice: choices
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


@pytest.fixture(scope="session")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for --include_path."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "utils.py").write_text(UTILS.format(examples=str(EXAMPLES)))
    for name, rows in ROWS.items():
        path = folder / f"{name}.json"
        path.write_text(json.dumps(rows))
        more = CHOSEN if name == "choices" else GENERATED
        kind = KINDS.get(name, "generate_until")
        (folder / f"{name}.yaml").write_text(YAML.format(name=name, rows=path, kind=kind, more=more))
    return folder


@pytest.fixture
def lmms(tasks: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """lmms("--tasks", …): runs the command and gives its results, with what was said under "samples"."""

    def run(*words: str) -> dict[str, Any]:
        out = tmp_path / "out"
        command = [sys.executable, "-m", "lmms_eval", "--include_path", str(tasks), "--output_path", str(out)]
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(tmp_path / "hub"),
            "CUDA_VISIBLE_DEVICES": "",
        }
        done = subprocess.run(
            [*command, "--log_samples", *words], env=environment, capture_output=True, text=True, timeout=500
        )
        assert done.returncode == 0, done.stderr[-4000:]
        found = list(out.rglob("*_results.json"))
        assert len(found) == 1, done.stderr[-4000:]  # it ends with 0 after an error, too
        (results,) = found
        samples = [
            json.loads(line)
            for path in sorted(out.rglob("*_samples_*.jsonl"))
            for line in path.read_text().splitlines()
        ]
        return {**json.loads(results.read_text()), "samples": samples}

    return run
