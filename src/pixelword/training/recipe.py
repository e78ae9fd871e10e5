"""A stage as one YAML file, checked before anything heavy starts. See `recipes/nano/` for commented examples.

Every fault is one `RecipeError` with file, line, field and, for an unknown key, the nearest known one.
"""

from __future__ import annotations

import copy
import difflib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationInfo,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from pixelword.model.checkpoint import WEIGHTS, packaged
from pixelword.model.configuration import SIZES, NeoOVConfig, NeoOVTextConfig, NeoOVVisionConfig
from pixelword.training.stages import ROLES

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def _arguments(kind: type, **parts: Any) -> type[_Part]:
    """The arguments of a configuration's class as fields, so that a mistyped key is found as in any other part."""
    hints = get_type_hints(kind.__init__)  # type: ignore[misc]
    plain = {name: hints[name] | None for name in inspect.signature(kind).parameters if name != "kwargs"}
    special: dict[str, Any] = {"pad_token_id": int | None, "bos_token_id": int | None, "tie_word_embeddings": bool}
    special |= {"eos_token_id": int | list[int] | None}
    fields = {**(special if kind is not NeoOVVisionConfig else {}), **plain, **parts}
    made: dict[str, Any] = {name: (type_, None) for name, type_ in fields.items()}
    return create_model(f"{kind.__name__}Recipe", __base__=_Part, **made)


_VisionArguments = _arguments(NeoOVVisionConfig)
_TextArguments = _arguments(NeoOVTextConfig)
_Arguments = _arguments(NeoOVConfig, vision_config=_VisionArguments, llm_config=_TextArguments)


class ModelRecipe(_Part):
    """Where the network comes from: `from` a checkpoint folder (a stage before, a released or a grown model) or a
    packaged model's name, or random weights of a `config` (as in a `config.json`) or of a known `size`. Beside `from`,
    `size` says what the checkpoint must be, so that a dry run needs no weights.
    """

    from_: Path | None = Field(default=None, alias="from")
    config: _Arguments | None = None  # type: ignore[valid-type]
    size: Literal["nano", "mini", "0.6b", "2b", "9b"] | None = None

    @field_validator("from_")
    @classmethod
    def _packaged_by_name(cls, path: Path | None) -> Path | None:
        return WEIGHTS / path if path is not None and str(path) in packaged() else path

    @field_serializer("from_")
    def _name_of_packaged(self, path: Path | None) -> str | None:
        return None if path is None else path.name if path.parent == WEIGHTS else str(path)

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
        return self


class SourceRecipe(_Part):
    """One source of samples in files. See `docs/data.md` for the formats.

    path: a JSON or JSONL file, Parquet files or WebDataset tars; globs and {000..127} ranges name several.
    root: what relative media paths join; the folder of the source when absent.
    repeat: how often one pass over the data takes each of its samples (0.5: every other one).
    limit: take the first so many samples only.
    """

    path: str
    root: Path | None = None
    format: Literal["auto", "json", "jsonl", "webdataset", "parquet"] = "auto"
    repeat: Positive = 1.0
    limit: PositiveInt | None = None


class ExpectRecipe(_Part):
    """What a sample is like on average, for a dry run without the data. Training does not look at it.

    tokens: of a sample, visual ones among them. spread: mean square of it over the squared mean, 1 where all are alike.
    visual, answer: shares of the tokens that are visual, that have a loss. pictures: in a sample, frames counted.
    fill: share of a pack's places that are not padding.
    """

    tokens: Positive = 512
    spread: Annotated[float, Field(ge=1)] = 1.5
    visual: Fraction = 0.7
    answer: Fraction = 0.2
    pictures: Annotated[float, Field(ge=0)] = 1.0
    fill: Fraction = 0.97


class DataRecipe(_Part):
    """What a stage reads: samples in files (`sources`) or, without any, nano's drawn tasks.

    mixture: weight of every source (of every kind of drawn task); `name%50` takes half of a source's samples. Without
        it every source has the weight of its samples, repeats counted.
    level, easier, turns: drawn tasks only. `level`, easy (0) to hard (1): a number, or [fraction of the steps, level]
        points, joined.
    rows, length: shape of a pack in tokens. `length` may be [fraction of the steps, length] points, each in force until
        the next (the progressive context of mid-training).
    packs: packs in one step, over all ranks and micro-batches: the global batch.
    max_patches, max_pairs: further budgets of a pack: 16-pixel patches, and visible (query, key) pairs.
    min_pixels, max_pixels, fps, max_frames: how media are read; the processor's own settings when absent.
    holdout: share of a source's samples that training never sees and validation takes.
    timeout: seconds that reading one sample may take. max_bad: share of bad samples past which training stops.
    index: folder of the sources' indexes; `~/.cache/pixelword/index` when absent.
    expect: what samples are like, for a dry run without the data.
    """

    sources: dict[str, SourceRecipe] = {}
    mixture: dict[str, Annotated[float, Field(ge=0)]] = {}
    level: Fraction | list[tuple[Fraction, Fraction]] = 1.0
    easier: Fraction = 0.0  # share of samples drawn at a level anywhere below `level`, so that easy ones never end
    turns: PositiveInt = 1  # at most this many questions about one picture
    rows: PositiveInt = 1
    length: PositiveInt | list[tuple[Fraction, PositiveInt]]
    packs: PositiveInt = 1
    max_patches: PositiveInt | None = None
    max_pairs: PositiveInt | None = None
    min_pixels: PositiveInt | None = None
    max_pixels: PositiveInt | None = None
    fps: Positive | None = None
    max_frames: PositiveInt | None = None
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    workers: Annotated[int, Field(ge=0)] = 1
    timeout: Positive = 60.0
    max_bad: Fraction = 0.01
    index: Path | None = None
    expect: ExpectRecipe = ExpectRecipe()

    @field_validator("mixture")
    @classmethod
    def _known_names(cls, mixture: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        from pixelword.tasks import nano

        sources = info.data.get("sources", {})
        known = tuple(sources) or nano.KINDS
        for name in mixture:
            plain, percent, share = name.partition("%")
            if plain not in known:
                raise ValueError(f"unknown {'source' if sources else 'kind'} {plain!r}{nearest(plain, known)}")
            if percent and not (sources and share.isdecimal() and 0 < int(share) <= 100):
                raise ValueError(f"{name!r}: write a share of a source as {plain}%50, 1 to 100")
        if mixture and sum(mixture.values()) <= 0:
            raise ValueError("every weight is zero")
        return mixture

    @model_validator(mode="after")
    def _reads_something(self) -> DataRecipe:
        if not self.mixture and not self.sources:
            raise ValueError("give sources (files), or a mixture of drawn tasks")
        return self

    @field_validator("level", "length")
    @classmethod
    def _ordered(cls, points: Any) -> Any:
        if isinstance(points, list) and (not points or [x for x, _ in points] != sorted(x for x, _ in points)):
            raise ValueError("points must be given in order of their fraction")
        return points

    def length_at(self, fraction: float) -> int:
        """Length of a row at a fraction of the stage's steps: that of the last point reached."""
        if not isinstance(self.length, list):
            return self.length
        reached = [length for point, length in self.length if point <= fraction]
        return reached[-1] if reached else self.length[0][1]

    @property
    def longest(self) -> int:
        """The longest row of the stage."""
        return max(length for _, length in self.length) if isinstance(self.length, list) else self.length

    def level_at(self, fraction: float) -> float:
        """Level at a fraction of the stage's steps; flat before the first point and after the last."""
        if not isinstance(self.level, list):
            return self.level
        before = self.level[0]
        for point in self.level:
            if fraction < point[0]:
                share = (fraction - before[0]) / (point[0] - before[0]) if point[0] > before[0] else 1.0
                return before[1] + max(share, 0.0) * (point[1] - before[1])
            before = point
        return before[1]


class OptimizerRecipe(_Part):
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


class ScheduleRecipe(_Part):
    kind: Literal["cosine", "wsd", "constant"]
    warmup: Annotated[int, Field(ge=0)] = 0  # steps
    floor: Fraction = 0.0  # of the peak
    decay: Annotated[float, Field(gt=0, le=1)] = 0.2  # wsd: share of the stage spent going down


class ValidationRecipe(_Part):
    """Held-out loss, and the share of exact answers. Files: `data.holdout`, or `sources` of their own."""

    every: PositiveInt
    packs: PositiveInt = 1  # held-out packs (of every kind, for drawn tasks), the same ones each time
    level: Fraction = 1.0
    sources: dict[str, SourceRecipe] = {}
    generate: Annotated[int, Field(ge=0)] = 0  # held-out questions answered freely, as `ask` would


class CheckpointRecipe(_Part):
    """`keep` newest ones stay, and for good every one at a multiple of `milestones` steps."""

    every: PositiveInt
    keep: PositiveInt = 2
    milestones: PositiveInt | None = None
    background: bool = True  # write while training goes on


class ParallelRecipe(_Part):
    """FSDP2 over `shard` ranks (0: over all), copied over the others (HSDP). One rank alone shards nothing."""

    shard: Annotated[int, Field(ge=0)] = 0
    reshard_after_forward: bool = True  # False keeps a layer's gathered weights for its backward pass


class SpikeRecipe(_Part):
    """A step with a loss `above` deviations over the last `window` ones is skipped; `patience` in a row end the run."""

    above: Positive = 10.0
    window: Annotated[int, Field(ge=8)] = 128
    patience: PositiveInt = 3


class LoraRecipe(_Part):
    """Low-rank adapters (PEFT) on the layers' projections; the roles in `trainable` are trained whole beside them."""

    rank: PositiveInt = 16
    alpha: Positive = 32.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: list[str] = [
        "q_proj", "q_proj_hw", "k_proj", "k_proj_hw", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    ]  # fmt: skip


class Recipe(_Part):
    """One stage. `max_minutes` ends it by the clock: its rate and end follow whichever is further, steps or time.

    Data follows the steps alone, so that pack k is the same on a slow machine.
    """

    stage: str
    out: Path
    model: ModelRecipe
    tokenizer: str | None = None  # with model.config: a folder with a tokenizer, or the name of embedded weights
    trainable: list[str] = ["all"]
    data: DataRecipe
    loss_weight: Literal["token", "square", "sample"] = "square"
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe
    steps: PositiveInt
    max_minutes: Positive | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    attention: Literal["eager", "sdpa", "flex_attention"] = "sdpa"  # eager: fast for short rows on a CPU, compiled
    precision: Literal["bf16", "fp32"] = "bf16"
    export: Literal["bf16", "fp32"] = "bf16"
    compile: bool = False
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    parallel: ParallelRecipe = ParallelRecipe()
    lora: LoraRecipe | None = None
    spike: SpikeRecipe | None = SpikeRecipe()
    threads: PositiveInt | None = None  # CPU threads of the training process; torch's default when absent
    checkpoint: CheckpointRecipe
    validation: ValidationRecipe | None = None
    log_every: PositiveInt = 10
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _has_tokenizer(self) -> Recipe:
        if self.model.from_ is None and self.tokenizer is None:
            raise ValueError("a start from random weights needs a tokenizer; a stage after another has that one's")
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
    """The configuration of the embedded `nano`, as `NeoOVConfig` takes it."""
    text = (Path(__file__).parents[1] / "weights" / "nano" / "config.json").read_text(encoding="utf-8")
    return json.loads(text)


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint for a mistyped name: the closest known one, else all of them."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def _check_roles(names: Sequence[str] | dict[str, float], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"unknown part {name!r}{nearest(name, known)}")
