"""Whatever the scores and the vocabulary, what the grammar lets through has its form."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

pytest.importorskip("llguidance", reason='answers with a form need pip install "pixelword[structured]"')

from pixelword.errors import InputError
from pixelword.generation.grammar import MOST_CHARACTERS, GrammarCompiler, Matcher
from pixelword.generation.grammar_errors import schema_problem
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.generation.tool_grammar import ToolCalls
from pixelword.processing.tokenizer import CONTROL_TOKENS, TURN_END, TextEncoder

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
MOST = 3000
NAMES = st.text("abcxyz_é ", min_size=1, max_size=4)
TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=6)


def compiler_for(*, merges: list[str] = [], without: str = "", padding: int = 0) -> GrammarCompiler:  # noqa: B006
    """Of a tokenizer of bytes, some of them missing, with longer tokens, in a network with more rows than that."""
    pieces = [letter for letter in ALPHABET if letter not in without]
    written = ["".join(ALPHABET_OF[byte] for byte in text.encode()) for text in merges]
    vocabulary = list(dict.fromkeys([*pieces, *written]))
    backend = Tokenizer(models.BPE(vocab={piece: i for i, piece in enumerate(vocabulary)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(CONTROL_TOKENS))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=TURN_END)
    encoder = TextEncoder(tokenizer)
    processor: Any = SimpleNamespace(tokenizer=tokenizer, encoder=encoder)
    return GrammarCompiler(processor, len(tokenizer) + padding, [encoder.control[TURN_END]])


def _byte_letters() -> dict[int, str]:
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + place) for place, byte in enumerate(others)}


ALPHABET_OF = _byte_letters()


def answer(compiler: GrammarCompiler, matcher: Matcher, chance: random.Random) -> str | None:
    """A text whose tokens are drawn evenly from those that may come; None where it has not ended in time."""
    tokens: list[int] = []
    scores = torch.zeros(compiler.vocab_size)
    for _ in range(MOST):
        allowed = matcher.masked(scores).isfinite().nonzero()[:, 0].tolist()
        assert allowed
        token = chance.choice(allowed)
        if token in compiler.ends:
            encoder = compiler.processor.encoder
            return encoder.decode(tokens)
        tokens.append(token)
        matcher.accept(token)
    return None


def fields(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def record(members: dict[str, Any]) -> Any:
        made = {f"f{number}": (kind, Field(alias=name)) for number, (name, kind) in enumerate(members.items())}
        return create_model("Record", __config__=ConfigDict(extra="forbid"), **made)

    return st.one_of(
        st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(record),
        st.tuples(inner, st.integers(0, 2), st.integers(0, 2)).map(
            lambda part: Annotated[list[part[0]], Field(min_length=part[1], max_length=part[1] + part[2])]
        ),
        inner.map(lambda kind: kind | None),
    )


LEAVES = st.one_of(
    st.lists(TEXTS, min_size=1, max_size=3).map(lambda texts: Literal[tuple(texts)]),
    st.sampled_from([bool, int, float, type(None)]),
    st.tuples(st.integers(-1000, 1000), st.integers(0, 500)).map(
        lambda bounds: Annotated[int, Field(ge=bounds[0], le=sum(bounds))]
    ),
    st.tuples(st.integers(0, 3), st.integers(0, 5)).map(
        lambda sizes: Annotated[str, Field(min_length=sizes[0], max_length=sum(sizes))]
    ),
    st.sampled_from(["^[a-f]{2,4}$", r"^\d{4}-\d\d$", "^(yes|no)$"]).map(lambda rx: Annotated[str, Field(pattern=rx)]),
)
KINDS = st.recursive(LEAVES, fields, max_leaves=5)


@pytest.fixture(scope="module")
def compiler() -> GrammarCompiler:
    return compiler_for(merges=['{"', '": ', '", "', "}]", "true", "123", " é", "éé"], padding=37)


@settings(max_examples=60, deadline=None)
@given(kind=KINDS, seed=st.integers(0, 2**32))
def test_json_validates_whatever_is_drawn(compiler, kind: Any, seed: int) -> None:
    adapter = TypeAdapter(kind)
    schema = adapter.json_schema()
    text = answer(compiler, compiler.matcher(StructuredOutputs(json=schema)), random.Random(seed))
    if text is not None:
        adapter.validate_json(text, by_alias=True)


@settings(max_examples=40, deadline=None)
@given(
    merges=st.lists(st.text('{}[]":, aé1n', min_size=2, max_size=4), max_size=6),
    padding=st.integers(0, 40),
    texts=st.lists(TEXTS, min_size=1, max_size=4, unique=True),
    seed=st.integers(0, 2**32),
)
def test_any_vocabulary(merges: list[str], padding: int, texts: list[str], seed: int) -> None:
    """Longer tokens, rows without a token: the answers have their form, and no row without a token is chosen."""
    compiler, chance = compiler_for(merges=merges, padding=padding), random.Random(seed)
    assert answer(compiler, compiler.matcher(StructuredOutputs(choice=texts)), chance) in texts
    found = answer(compiler, compiler.matcher(StructuredOutputs(regex="(a|é){1,3}n?1{2}")), chance)
    assert found is not None and re.fullmatch("(a|é){1,3}n?1{2}", found)
    schema = {"type": "array", "items": {"enum": texts}, "maxItems": 3}
    found = answer(compiler, compiler.matcher(StructuredOutputs(json=schema)), chance)
    assert found is not None and set(json.loads(found)) <= set(texts)


def test_what_a_vocabulary_cannot_spell_fails_in_words() -> None:
    compiler = compiler_for(without="z")
    with pytest.raises(InputError, match="no token for what must come next"):
        answer(compiler, compiler.matcher(StructuredOutputs(choice=["az"])), random.Random(0))


def test_grammars_of_both_notations(compiler) -> None:
    for grammar in ('start: "a" item+\nitem: /[0-9]/ "x"', 'root ::= "a" item+\nitem ::= [0-9] "x"'):
        text = answer(compiler, compiler.matcher(StructuredOutputs(grammar=grammar)), random.Random(3))
        assert text is not None and re.fullmatch("a([0-9]x)+", text)


def test_a_draft_is_cut_where_the_grammar_cuts_it(compiler) -> None:
    encode = compiler.processor.encoder.text
    (end,) = compiler.ends
    matcher = compiler.matcher(StructuredOutputs(regex="abc|abd"))
    assert matcher.possible(encode("abx")) == encode("ab")
    assert matcher.possible([end]) == [] and matcher.possible([*encode("abc"), end]) == encode("abc")
    assert matcher.possible([compiler.vocab_size - 1]) == []


@pytest.mark.parametrize("draft", ["", "a", "ab", "abc"])
def test_looking_ahead_changes_nothing(compiler, draft: str) -> None:
    """What was computed for a draft is what is computed without; a wrong draft leaves no trace."""
    encode = compiler.processor.encoder.text
    structure, scores = StructuredOutputs(regex="ab(c|d)+"), torch.zeros(compiler.vocab_size)
    ahead, plain = compiler.matcher(structure), compiler.matcher(structure)
    for token in encode("abdcd"):
        ahead.look_ahead(ahead.possible(encode(draft)))
        assert torch.equal(ahead.masked(scores), plain.masked(scores))
        ahead.accept(token)
        plain.accept(token)
        assert torch.equal(ahead.masked(scores), plain.masked(scores))  # of the draft, where it was right


def test_many_answers_at_once_share_a_grammar(compiler) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}, "required": ["a"]}
    structure = StructuredOutputs(json=schema | {"additionalProperties": False})

    def run(seed: int) -> str | None:
        return answer(compiler, compiler.matcher(structure), random.Random(seed))

    alone = [run(seed) for seed in range(16)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(16))) == alone
    assert all(text is not None and len(json.loads(text)["a"]) <= 5 for text in alone)
    assert compiler.compile(structure) is compiler.compile(StructuredOutputs(json=json.dumps(structure.schema)))


class Item(BaseModel):
    names: set[str]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"json": {"properties": {"a": {"items": {"type": "strin"}}}}}, r"json.properties.a.items: Invalid type: strin"),
    ({"json": Item.model_json_schema()}, r'json.properties.names: Unimplemented keys: \["uniqueItems"\]'),
    ({"json": {"$defs": {"A b": {"type": 1}}, "$ref": "#/$defs/A b"}}, r'json.\$defs\["A b"\]: type must be'),
    ({"json": {"anyOf": [{"type": "null"}, {"minimum": "3"}]}}, r"json.anyOf\[1\]: Expected f64 for 'minimum'"),
    ({"json": {"properties": {"x": 5}}}, "json.properties.x: a schema is an object, not 5"),
    ({"json": {"properties": {"x": {"pattern": "(?!x)"}}}}, "json.properties.x: regular expression: look-around"),
    ({"json": {"$ref": "#/$defs/None"}}, "json: Pointer '/\\$defs/None' does not exist"),
    ({"json": '{"type": '}, "json: not JSON"),
    ({"json": [1]}, "json: a JSON schema is an object"),
    ({"json": False}, "json: no answer has the schema false"),
    ({"regex": "[a-"}, "regex: regular expression: unclosed character class"),
    ({"grammar": "start: foo"}, 'grammar, line 1, column 8: unknown name: "foo"'),
    ({"grammar": "root ::= foo"}, "grammar: Rule 'foo' not found"),
    ({"choice": []}, "choice: give a list of texts"),
    ({"choice": "yes"}, "choice: give a list of texts"),
    ({}, "nothing given"),
    ({"regex": "a", "choice": ["a"]}, "choice and regex given"),
]


@pytest.mark.parametrize(("form", "words"), BAD)
def test_what_is_wrong_is_named_with_its_place(compiler, form: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=f"^structured_outputs[.:].*{words}"):
        compiler.compile(StructuredOutputs(**form))


def test_without_the_library_the_message_says_how_to_get_it(compiler, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(InputError, match=r"needs llguidance: pip install"):
        compiler_for().compile(StructuredOutputs(json_object=True))


@pytest.mark.parametrize("required", [False, True])
def test_a_call_that_begins_is_held_to_a_tool_s_schema(compiler, required: bool) -> None:
    """Text before it is free, unless a call is required; then it is no answer."""
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    tools = (("zoom", json.dumps(schema)), ("look", '{"type": "object", "additionalProperties": false}'))
    encode = compiler.processor.encoder.text
    call = '<tool_call>\n{"name": "zoom", "arguments": {"a": 1}}\n</tool_call>'
    look = '\n<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'

    def possible(text: str, *, parallel: bool = True) -> bool:
        matcher = compiler.matcher(StructuredOutputs(tools=ToolCalls(tools, required, parallel)))
        tokens = encode(text)
        if matcher.possible(tokens) != tokens:
            return False
        for token in tokens:
            matcher.masked(torch.zeros(compiler.vocab_size))
            matcher.accept(token)
        return bool(matcher.masked(torch.zeros(compiler.vocab_size))[compiler.ends[0]] == 0)

    assert possible(call) and possible(call + look) and not possible(call + look, parallel=False)
    assert not possible(call.replace("1", "3")) and not possible(call.replace("zoom", "room"))
    assert possible("é <tool_cal l") is not required and possible(f"I look.\n{call}") is not required
    with pytest.raises(InputError, match=r"^tools\[1\].function.parameters.properties.b: Invalid type"):
        wrong = (tools[0], ("x", '{"properties": {"b": {"type": "x"}}}'))
        compiler.compile(StructuredOutputs(tools=ToolCalls(wrong), place="tools"))


DEEP = """
import sys, threading
import torch
from test_grammar import compiler_for
from pixelword.generation.structured_outputs import StructuredOutputs

def chain(part, end):
    return {"$ref": "#/$defs/0", "$defs": {**{str(n): part(f"#/$defs/{n + 1}") for n in range(4000)}, "4000": end}}

rules = "".join(f'r{n}: "a" r{n + 1}\\n' for n in range(11_500))
forms = {
    "rules": {"grammar": f'start: r0\\n{rules}r11500: "b"'},
    "terse rules": {"grammar": "start: r0\\n" + rules.replace('"a" ', "") + 'r11500: "b"'},
    "references": {"json": chain(lambda to: {"$ref": to}, {"type": "integer"})},
    "arrays": {"json": chain(lambda to: {"items": {"$ref": to}}, {"type": "integer"})},
    "allOf": {"json": {"allOf": [{"type": "object"}] * 8000}},
}
compiler = compiler_for()
before = threading.stack_size()
for name, form in forms.items():
    matcher = compiler.matcher(StructuredOutputs(**form))
    matcher.look_ahead([])
    scores = matcher.masked(torch.zeros(compiler.vocab_size))
    matcher.accept(int(scores.argmax()))
    print(name)
assert threading.stack_size() == before
"""


def test_deep_forms_do_not_end_the_process() -> None:
    here = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    ran = subprocess.run(
        [sys.executable, "-c", DEEP], env=os.environ | {"PYTHONPATH": here}, capture_output=True, text=True
    )
    assert ran.returncode == 0, (ran.returncode, ran.stdout, ran.stderr[-2000:])
    assert ran.stdout.splitlines() == ["rules", "terse rules", "references", "arrays", "allOf"]


def test_longer_forms_are_refused(compiler) -> None:
    with pytest.raises(InputError, match=r"^structured_outputs.regex: more than 200,000 characters"):
        compiler.compile(StructuredOutputs(regex="a" * (MOST_CHARACTERS + 1)))
    with pytest.raises(InputError, match=r"^structured_outputs.regex: more than 20,000 characters"):
        compiler.compile(StructuredOutputs(regex="a" * 20_001))
    with pytest.raises(InputError, match=r"^structured_outputs.grammar: GBNF of more than 20,000 characters"):
        compiler.compile(StructuredOutputs(grammar=f'root ::= "{"a" * 20_000}"'))


def test_the_place_of_an_error_is_searched_for_until_the_deadline() -> None:
    schema = {"properties": {"a": {"items": {"type": "strin"}}}}
    assert schema_problem(schema, time.monotonic() + 600) == (".properties.a.items", "Invalid type: strin")
    assert schema_problem(schema, 0.0) == ("", "Invalid type: strin")
