"""transformers' tests have marks of their own."""

from __future__ import annotations

import pytest

_MARKS = [
    "accelerate_tests",
    "torch_compile_test",
    "torch_export_test",
    "generate",
    "flash_attn_test",
    "flash_attn_3_test",
    "flash_attn_4_test",
    "all_flash_attn_test",
    "is_training_test",
    "is_tensor_parallel_test",
    "is_expert_parallel_test",
    "is_fsdp_test",
    "is_staging_test",
    "is_pipeline_test",
    "is_agent_test",
    "order",
    "slow",
]


def pytest_configure(config: pytest.Config) -> None:
    for name in _MARKS:
        config.addinivalue_line("markers", f"{name}: transformers' own")
