"""docs/vllm.md: its example run as it stands there, and its flags known to vLLM."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "vllm.md").read_text(encoding="utf-8")
#: Flags of pip and of this package on the page.
OTHERS = {"--yes"}


def test_the_example_answers(nano_folder: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    script = tmp_path / "example.py"
    code = code.replace("checkpoints/nano", str(nano_folder))
    script.write_text(code.replace("max_model_len=2048", "max_model_len=2048, enforce_eager=True"))
    variables = {name: value for name, value in os.environ.items() if name != "VLLM_ENABLE_V1_MULTIPROCESSING"}
    told = subprocess.run(
        [sys.executable, str(script)],
        cwd=ROOT,
        env=variables | {"VLLM_CPU_KVCACHE_SPACE": "1"},
        capture_output=True,
        text=True,
        timeout=480,
    )
    expected = re.findall(r"print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert expected and set(expected) <= set(told.stdout.splitlines()), told.stderr[-4000:]


def test_every_flag_is_vllms() -> None:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    known = {flag for action in make_arg_parser(FlexibleArgumentParser())._actions for flag in action.option_strings}
    ours = re.sub(r"^.*pip install.*$", "", PAGE, flags=re.MULTILINE)
    named = set(re.findall(r"--[a-z][a-z-]+", ours)) - OTHERS
    assert named and named - known == set()
