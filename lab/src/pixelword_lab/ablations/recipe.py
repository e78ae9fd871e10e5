"""An ablation as one YAML file: variants of a training recipe, their seeds, what it costs, what is to be found out.

`recipes/ablations/` has examples. Every fault is one `RecipeError` that names the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, PositiveInt, ValidationError, model_validator

from pixelword.data.recipe import RecipePart
from pixelword.errors import RecipeError, reason

Set = tuple[str, ...]
#: How positions are counted; see `positions`.
Way = Literal["native", "line", "m-rope", "interleaved", "video"]


class Network(RecipePart):
    """A variant's network; as it stands, the released one.

    mask: "mixed": an image sees itself whole; "causal": every token sees what is before it alone.
    positions: see `positions`. encoder: a vision transformer in front in place of the patch embedding, over each
        image, or over all frames of a clip. encoder_layers: of it.
    """

    mask: Literal["mixed", "causal"] = "mixed"
    positions: Way = "native"
    encoder: Literal["none", "picture", "clip"] = "none"
    encoder_layers: int = Field(default=2, ge=1)

    @property
    def plain(self) -> bool:
        """Whether it is the released network."""
        return self == Network(encoder_layers=self.encoder_layers)


class Growth(RecipePart):
    """Between the first stage, which trains a language model, and the second.

    layers: of the pre-buffer. start: of its matrices, as `pixelword grow --start`.
    spatial: the H/W branch of the language model's layers. "released": queries copied, keys zero, which the norm's
        slope at zero takes to full strength in the first updates. "random": both N(0, 0.02), at full strength from the
        start. "gentle": both copied, and the keys' norms zero, so that the branch grows as fast as their rate lets it.
    """

    layers: int = Field(default=2, ge=0)
    start: Literal["released", "identity"] = "identity"
    spatial: Literal["released", "random", "gentle"] = "released"


class Variant(RecipePart):
    """One row of the table.

    set: overrides of the stages' recipes, as `pixelword train --set`. stages: how many of the ablation's stages.
    grow: grown after the first stage, in place of the ablation's own `grow`. later: run after everything else.
    paper: the figure that the paper gives for what it did most like this.
    """

    name: str
    network: Network = Network()
    set: Set = ()
    stages: PositiveInt | None = None
    grow: Growth | None = None
    later: bool = False
    paper: float | None = None


class Finding(RecipePart):
    """What the paper found, as two variants of which it says that the one beats the other."""

    says: str
    better: str
    than: str


class Ablation(RecipePart):
    """See `Variant`.

    cost: what all of it takes, in words, as it was measured. stages: training recipes, relative to this file.
    kinds: of drawn tasks that the result is measured on; those of the last stage's mixture when absent.
    packs: held-out ones of each kind. curve: a kind whose held-out loss is drawn as the last stage goes.
    paper: where its figures come from, and what differs there.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    asks: str
    cost: str
    seeds: Annotated[list[int], Field(min_length=1)] = [0, 1]
    stages: Annotated[list[Path], Field(min_length=1)]
    set: Set = ()
    grow: Growth | None = None
    kinds: list[str] = []
    packs: PositiveInt = 4
    curve: str | None = None
    variants: Annotated[list[Variant], Field(min_length=2)]
    findings: list[Finding] = []
    paper: str = ""

    @model_validator(mode="after")
    def _names_agree(self) -> Ablation:
        names = [variant.name for variant in self.variants]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"two variants are called {twice[0]!r}")
        for finding in self.findings:
            for name in (finding.better, finding.than):
                if name not in names:
                    raise ValueError(f"findings: there is no variant {name!r}")
        for variant in self.variants:
            if (variant.stages or 1) > len(self.stages):
                raise ValueError(f"{variant.name}: stages is {variant.stages}, and there are {len(self.stages)}")
        return self


def load_ablation(path: Path) -> Ablation:
    """Read and check an ablation's file; its stages' paths become those from here. Raises RecipeError."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot read the ablation: {reason(error)}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: an ablation is a mapping of fields (name, asks, cost, stages, variants, …)")
    try:
        ablation = Ablation.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise RecipeError(f"{path}: {where or 'it'}: {fault['msg'].removeprefix('Value error, ')}") from error
    return ablation.model_copy(update={"stages": [path.parent / stage for stage in ablation.stages]})
