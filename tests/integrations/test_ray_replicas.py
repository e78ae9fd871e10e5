"""Where replicas go, and mistakes of `batch --ray`, without Ray."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from pixelword.errors import InputError
from pixelword.integrations.ray.cluster import Placement, placed

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("machines", "replicas", "expected"),
    [
        ([{"CPU": 2.0}], None, Placement(1, 2.0, 0.0)),
        ([{"CPU": 2.0}], 2, Placement(2, 1.0, 0.0)),
        ([{"CPU": 2.0}], 4, Placement(4, 0.5, 0.0)),
        ([{"CPU": 0.0}, {"CPU": 16.0}, {"CPU": 8.0}], None, Placement(2, 8.0, 0.0)),
        ([{"CPU": 16.0}, {"CPU": 16.0}], 3, Placement(3, 8.0, 0.0)),
        ([{"CPU": 16.0, "GPU": 2.0}, {"CPU": 64.0, "GPU": 4.0}], None, Placement(6, 1.0, 1.0)),
        ([{"CPU": 16.0, "GPU": 2.0}], 3, Placement(3, 1.0, 0.5)),
    ],
)
def test_a_replica_has_a_gpu_or_a_machine(
    machines: list[dict[str, float]], replicas: int | None, expected: Placement
) -> None:
    assert placed(machines, replicas) == expected


def test_a_cluster_needs_a_cpu() -> None:
    with pytest.raises(InputError, match="has a CPU"):
        placed([{"GPU": 1.0}])


def test_replicas_are_for_ray(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("batch", ROOT / "examples" / "red_circle.png", "what is it?", "--out", tmp_path / "out.jsonl")
    assert "--replicas is for --ray" in refused(*words, "--replicas", 2)
    if find_spec("ray") is None:
        assert "many machines need Ray: pip install" in refused(*words, "--ray", "local")
