"""`pixelword ablate`: what would be run, and where faults are told."""

from __future__ import annotations

from pathlib import Path

from pixelword.training.recipe_file import load_recipe

RECIPES = Path(__file__).parents[3] / "recipes" / "ablations"


def test_a_plan_trains_nothing(run, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    result = run("ablate", RECIPES / "attention.yaml", RECIPES / "eyes.yaml", "--plan", "--out", out)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    steps = load_recipe(RECIPES / "stages" / "scratch.yaml").steps
    assert lines[0] == f"to do  attention: causal 1-D, seed 0: scratch ({steps} steps)"
    assert lines[-1] == f"22 stages in all, 22 to train: {22 * steps:,} steps" and not out.exists()


def test_a_report_of_nothing_says_so(run, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- loss -->\n<!-- end of loss -->\n")
    result = run("ablate", RECIPES / "loss.yaml", "--out", tmp_path / "runs", "--report", page)
    assert result.exit_code == 0, result.output
    assert "Not run: square, token, sample." in page.read_text()


def test_faults_are_one_line(refused, tmp_path: Path) -> None:
    assert "cannot read the ablation" in refused("ablate", tmp_path / "absent.yaml")
    assert "no place for attention" in refused("ablate", RECIPES / "attention.yaml", "--report", RECIPES / "loss.yaml")
