"""What other distributions bring: found by name, and without them one clear line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from pixelword import plugins
from pixelword.errors import AssetError, InputError, RecipeError
from pixelword.evaluation.suite import chosen
from pixelword.synthetic.assets import Assets


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """installed(*entry points): these, and no others, are there."""

    def use(*found: metadata.EntryPoint) -> None:
        of_group = lambda group: [item for item in found if item.group == group]  # noqa: E731
        monkeypatch.setattr(metadata, "entry_points", of_group)
        plugins.entry_points.cache_clear()

    yield use
    plugins.entry_points.cache_clear()


@pytest.mark.parametrize(
    "words", [("tasks", "list"), ("ablate", "recipe.yaml"), ("speedrun", "--track", "s1"), ("lab",)]
)
def test_a_verb_of_the_lab_names_what_brings_it(
    installed: Any, refused: Callable[..., str], words: tuple[str, ...]
) -> None:
    installed()
    assert plugins.INSTALL_LAB in refused(*words)


def test_without_the_lab_its_verbs_are_not_listed(installed: Any, run: Callable[..., Any]) -> None:
    installed()
    listed = run("--help").stdout
    assert " evaluate " in listed and not any(f" {name} " in listed for name in plugins.LAB_COMMANDS)


def test_recipes_suites_and_packs_name_what_brings_them(
    installed: Any, refused: Callable[..., str], tiny: Any, tmp_path: Path
) -> None:
    installed()
    with pytest.raises(RecipeError, match=r"tiny.yaml|--set data.*'mini' is part of pixelword-lab: pip install"):
        tiny("data={tasks: mini, mixture: {captions: 1}, length: 128}")
    assert plugins.INSTALL_LAB in refused("evaluate", "nano", "--suite", "real")
    with pytest.raises(AssetError, match=r"tasks fetch words \(which is part of pixelword-lab: pip install"):
        Assets(tmp_path).pack("words")


def test_a_name_that_nobody_has_is_compared_with_what_there_is(installed: Any) -> None:
    installed()
    with pytest.raises(InputError, match="unknown suite 'held': choose one of nano"):
        chosen(["held"])


def test_another_distribution_adds_a_verb_and_a_suite(installed: Any, run: Callable[..., Any]) -> None:
    installed(
        metadata.EntryPoint("look", "pixelword.cli.version:version", plugins.COMMANDS),
        metadata.EntryPoint("again", "pixelword.evaluation.nano:SUITE", plugins.SUITES),
    )
    assert " look " in run("--help").stdout
    assert run("look").stdout == run("version").stdout
    assert [test.name for test in chosen(["again"], ["colour"])] == ["colour"]
