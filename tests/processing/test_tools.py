"""Tools in Qwen3's form: what a prompt says of them, and calls read from an answer as it comes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import AddedToken, PreTrainedTokenizerFast

from pixelword.errors import InputError
from pixelword.processing.chat import as_text, segments
from pixelword.processing.processor import NeoOVProcessor
from pixelword.processing.tools import TOOL_MARKS, ToolCallParser

TOOL = {
    "type": "function",
    "function": {"name": "zoom", "description": "Größer", "parameters": {"type": "object", "properties": {}}},
}
CALL = {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": '{"box": [1, 2]}'}}
TALK: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "what is it?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, {"name": "zoom", "arguments": {"é": 1}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
    {"role": "tool", "content": [{"type": "text", "text": "here"}, {"type": "image"}]},
    {"role": "assistant", "content": "I look again.", "tool_calls": [CALL]},
    {"role": "tool", "content": "a dog"},
]
#: As Qwen3's own template writes it, `<image>` and its newline where the image is.
QWEN = """<|im_start|>system
Be brief.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{"type": "function", "function": {"name": "zoom", "description": "Größer", "parameters": {"type": "object", "properties": {}}}}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call><|im_end|>
<|im_start|>user
what is it?<|im_end|>
<|im_start|>assistant
<tool_call>
{"name": "zoom", "arguments": {"box": [1, 2]}}
</tool_call>
<tool_call>
{"name": "zoom", "arguments": {"é": 1}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
a cat
</tool_response>
<tool_response>
<image>
here
</tool_response><|im_end|>
<|im_start|>assistant
I look again.
<tool_call>
{"name": "zoom", "arguments": {"box": [1, 2]}}
</tool_call><|im_end|>
<|im_start|>user
<tool_response>
a dog
</tool_response><|im_end|>
<|im_start|>assistant
"""  # noqa: E501


@pytest.fixture(scope="module")
def processor(tiny_tokenizer: PreTrainedTokenizerFast) -> NeoOVProcessor:
    return NeoOVProcessor(tokenizer=tiny_tokenizer)


def test_the_prompt_is_qwen3_s(processor: NeoOVProcessor) -> None:
    found = segments(TALK, tools=[TOOL], add_generation_prompt=True, need_sources=False)
    assert as_text(found) == QWEN
    for tools in ([TOOL], None):
        for number in range(1, len(TALK) + 1):
            mine = as_text(segments(TALK[:number], tools=tools, need_sources=False))
            theirs = processor.tokenizer.apply_chat_template(
                TALK[:number], chat_template=processor.chat_template, tools=tools, tokenize=False
            )
            assert mine == theirs
    assert processor.apply_chat_template(TALK, tools=[TOOL], add_generation_prompt=True) == QWEN


def test_marks_are_tokens_where_the_tokenizer_has_them(tiny_tokenizer, processor, tmp_path: Path) -> None:
    """And never in the words of others; the answer's are learnt."""
    tiny_tokenizer.save_pretrained(tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    tokenizer.add_tokens([AddedToken(mark, special=False) for mark in TOOL_MARKS])
    own = NeoOVProcessor(tokenizer=tokenizer)
    talk = [*TALK[:4], {"role": "tool", "content": [{"type": "image", "image": Image.new("RGB", (64, 64))}]}]
    talk[1] = {"role": "user", "content": "is <tool_call> a token?"}
    ids = own.encode(talk, tools=[TOOL])
    start, end, *_ = (tokenizer.convert_tokens_to_ids(mark) for mark in TOOL_MARKS)
    assert ids.input_ids.tolist().count(start) == 2 + 2  # the system turn's two, and two calls
    assert ids.labels.tolist().count(start) == ids.labels.tolist().count(end) == 2
    assert len(ids.images) == 1
    spelt = processor.encode(talk, tools=[TOOL])
    assert processor.tokenizer.decode(spelt.input_ids) == tokenizer.decode(ids.input_ids)


@pytest.mark.parametrize(
    ("talk", "tools", "words"),
    [
        (TALK[:2], [{"type": "function"}], r"tools\[0\]"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"function": {}}]}], None, "message 1 has a tool call"),
        ([{"role": "tool"}], None, "message 1 has no content"),
        ([{"role": "assistant", "content": None}], None, "message 1 has no content"),
    ],
)
def test_what_is_malformed_is_named(talk, tools, words) -> None:
    with pytest.raises(InputError, match=words):
        segments(talk, tools=tools)


NAMES = st.text("abc_é", min_size=1, max_size=5)
ARGUMENTS = st.dictionaries(st.text(max_size=4), st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\{}[]<>/é\n', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
), max_size=3)  # fmt: skip
CONTENT = st.text("ab <tol_cal>é\n", max_size=12).filter(lambda text: "<tool_call>" not in text)


@given(content=CONTENT, calls=st.lists(st.tuples(NAMES, ARGUMENTS), max_size=3), cuts=st.lists(st.integers(0, 400)))
def test_an_answer_is_parsed_however_it_is_cut(content: str, calls: list[tuple[str, Any]], cuts: list[int]) -> None:
    written = [
        f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(own, ensure_ascii=False)}}}\n</tool_call>'
        for name, own in calls
    ]
    text = "\n".join([*([content] if content else []), *written])
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    parser = ToolCallParser()
    pieces = [piece for a, b in itertools.pairwise(places) for piece in parser.add(text[a:b])]
    pieces += parser.finish()
    said = "".join(piece.text for piece in pieces if piece.call is None)
    assert said == (content.rstrip() if calls else content)
    names = [piece.name for piece in pieces if piece.name is not None]
    own = ["".join(piece.text for piece in pieces if piece.call == number) for number in range(len(calls))]
    assert list(zip(names, map(json.loads, own), strict=True)) == calls and not parser.open


def test_what_is_no_call_stays_text() -> None:
    for text in ("<tool_call>nothing</tool_call> more", '<tool_call>\n{"name": "x"', "a <tool_cal", "<tool_call>"):
        parser = ToolCallParser()
        assert (
            "".join(piece.text for letter in text for piece in parser.add(letter))
            + "".join(piece.text for piece in parser.finish())
            == text
        )
    cut = ToolCallParser()
    pieces = cut.add('<tool_call>\n{"name": "x", "arguments": {"a": "b')
    assert [(piece.name, piece.text) for piece in pieces] == [("x", ""), (None, '{"a": "b')] and cut.open


@pytest.mark.parametrize("name", [r"a\q", "a\nb", r"\ud800"])
def test_a_call_whose_name_is_not_json_stays_text(name: str) -> None:
    text = f'<tool_call>{{"name": "{name}", "arguments": {{}}}}</tool_call>'
    parser = ToolCallParser()
    assert "".join(piece.text for piece in [*parser.add(text), *parser.finish()]) == text
    assert parser.calls == 0


def test_a_call_behind_a_malformed_one_is_read_however_it_is_cut() -> None:
    bad, good = "<tool_call>nothing</tool_call>", '<tool_call>{"name": "x", "arguments": {}}</tool_call>'
    for cuts in ([bad + good], bad + good):
        parser = ToolCallParser()
        pieces = [piece for cut in cuts for piece in parser.add(cut)] + parser.finish()
        assert parser.calls == 1 and [piece.name for piece in pieces if piece.name] == ["x"]
        assert "".join(piece.text for piece in pieces if piece.call is None) == bad
