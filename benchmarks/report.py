"""Samples of inference to the generated part of their page."""

from __future__ import annotations

from statistics import median
from typing import Any

from cases import CANDIDATES, Case, impossible
from running import heading

#: (better than this candidate, on this case, in this measure, at least so many times): what Pixelword aims at.
AIMS = (
    ("dense", "picture-1024", "first_token_s", 2.0),
    ("dense", "picture-4096", "first_token_s", 5.0),
    ("qwen3vl", "picture-1024", "first_token_s", 3.0),
    ("qwen3vl", "picture-4096", "first_token_s", 3.0),
    ("text", "picture-1024", "decode_tokens_s", 1.0),
)
MEASURES = {"first_token_s": "first token", "decode_tokens_s": "decode"}

METHOD = """\
## How

- **First token**: from ready tensors (token ids and prepared pixels) to the first token's id, through each model's own
  greedy `generate`. Decoding and resizing pictures and videos is left out for all. In parentheses: the process's own
  processor seconds, all threads together.
- **Decode**: tokens per second of all rows together over the {new_tokens} tokens after the first, with the default
  (dynamic) KV cache. In parentheses: the process's own processor milliseconds a step.
- **Memory**: peak resident memory; "added" is less what was resident with the model and the inputs loaded, so
  activations and cache.
- Every candidate, case and round is a process of its own, warmed up on a small picture of the same kind, then measured
  once. Candidates alternate within a round, in an order that turns from round to round. Figures are medians over
  rounds; "×" is the median (lowest–highest) of the ratios within a round, always **how many times better Pixelword is**
  (below 1: worse).
- **Others**: how many cores other processes kept busy during the sample, median and highest. Above about 0.1, trust
  ratios only.
- Random weights in {dtype}, one text shape: {shape}.
- *Dense eager* runs Pixelword's modules with the released code's attention (repeated keys, an L × L float32 mask,
  float32 softmax) and rotary tables made anew in every layer; norms, patch embedding and the rest are ours, so it is
  faster here than the released code.
- *Qwen3-VL* has the same text stack without H and W projections, and its 24-layer encoder (width 1024, deepstack). Its
  video tokens hold two frames each: one row gives it as many visual tokens as the others (64 frames), the other the
  same 32 frames in half the tokens.
- *Gemma 4 Unified* has no encoder; its tokens are 48 × 48 pixels (ours 32 × 32). By its own design two layers in twelve
  attend to everything, strictly causally, and ten to the last 1,024 tokens, where alone a picture sees itself whole.
  Its processor gives a picture at most 1,120 tokens: 4,096 go past what it is made for.
- *Qwen3* reads as many random words as the others read tokens: the floor of a language model without pictures. Its
  feed-forward is wider by what Pixelword's H and W projections weigh, so decoding reads equal bytes of weights.
"""


def render(meta: dict[str, Any], samples: list[dict[str, Any]], cases: list[Case]) -> str:
    """The generated part: hardware, tables, aims, method."""
    lines = heading("Inference", meta)
    for case in cases:
        lines += _table(case, [s for s in samples if s["case"] == case.name])
    told = {"new_tokens": meta["new_tokens"], "shape": meta["shape"], "dtype": meta.get("cpu_dtype", "bfloat16")}
    return "\n".join(lines + _aims(samples) + [METHOD.format(**told)])


def _table(case: Case, samples: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"## {case.title[0].upper()}{case.title[1:]} ({case.batch} × {case.length:,} tokens)",
        "",
        "| | weights | first token | × | decode | × | peak memory | added | others | rounds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, title in CANDIDATES.items():
        rows = [s for s in samples if s["candidate"] == name]
        good = [s for s in rows if "failed" not in s]
        for reason in sorted({s["failed"] for s in rows if "failed" in s}):
            lines.append(f"| {title} | {len(rows) - len(good)} of {len(rows)} failed: {reason} {'|' * 9}")
        if not rows and (reason := impossible(name, case)):
            lines.append(f"| {title} | not measured: {reason} {'|' * 9}")
        if good:
            lines.append(_row(name, title, good, samples))
    return [*lines, ""]


def _row(name: str, title: str, good: list[dict[str, Any]], samples: list[dict[str, Any]]) -> str:
    def middle(key: str) -> float:
        return median(s[key] for s in good)

    length = "" if name != "qwen3vl-pairs" else f" ({good[0]['length']:,} tokens)"
    others = [s["competing_cores"] for s in good if s["competing_cores"] is not None]
    cells = [
        title + length,
        f"{good[0]['weight_bytes'] / 1e6:,.0f} MB",
        f"{middle('first_token_s'):.2f} s ({middle('first_token_processor_s'):.1f})",
        _times(ratios(name, "first_token_s", samples)),
        f"{middle('decode_tokens_s'):.1f}/s ({1000 * middle('decode_processor_s'):.0f})",
        _times(ratios(name, "decode_tokens_s", samples)),
        f"{middle('peak_bytes') / 1e6:,.0f} MB",
        f"{middle('peak_over_model_bytes') / 1e6:,.0f} MB",
        f"{median(others):.1f}, {max(others):.1f}" if others else "unknown",
        str(len(good)),
    ]
    return "| " + " | ".join(cells) + " |"


def ratios(name: str, measure: str, samples: list[dict[str, Any]]) -> list[float]:
    """Within each round and case: how many times better ours is than the candidate."""
    ours = {(s["round"], s["case"]): s[measure] for s in samples if s["candidate"] == "ours" and "failed" not in s}
    pairs = [
        (ours[s["round"], s["case"]], s[measure])
        for s in samples
        if s["candidate"] == name and "failed" not in s and (s["round"], s["case"]) in ours
    ]
    return [mine / theirs if measure == "decode_tokens_s" else theirs / mine for mine, theirs in pairs]


def _times(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f}{spread}"


def _aims(samples: list[dict[str, Any]]) -> list[str]:
    lines = []
    for name, case, measure, aim in AIMS:
        found = ratios(name, measure, [s for s in samples if s["case"] == case])
        if found:
            verdict = "met" if median(found) >= aim else "**not met**"
            what = f"{case}, {MEASURES[measure]}: against {CANDIDATES[name]}"
            lines.append(f"| {what} | {aim:g} | {_times(found)} | {verdict} |")
    if not lines:
        return []
    return ["## Against the aims", "", "| | aim | measured | |", "|---|---:|---:|---|", *lines, ""]
