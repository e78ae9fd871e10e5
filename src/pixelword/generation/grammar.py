"""Answers that must have a form: which tokens may come next, by llguidance.

A `GrammarCompiler` belongs to a model and its tokenizer, and remembers the grammars that it has compiled. It compiles
in a thread with a large stack, since llguidance recurses from rule to rule and would end the process. Each answer has
a `Matcher`, its place in the grammar, which any thread may use. The masks of the next step are computed in a thread
while the network reads that step's tokens.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from pixelword.errors import InputError
from pixelword.extras import install_command
from pixelword.generation.deep_stack import deep_executor
from pixelword.generation.grammar_errors import grammar_problem, schema_problem
from pixelword.generation.structured_outputs import StructuredOutputs
from pixelword.generation.tool_grammar import call_rules
from pixelword.processing.token_bytes import TokenBytes

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

    from pixelword.processing.processor import NeoOVProcessor

#: Between the parts of JSON: nothing or a space. A model that is unsure would write white space for ever.
_WHITE_SPACE = "[ ]"
#: Any spelling of what the grammar dictates, since not every vocabulary has the usual one.
_OPTIONS = '\n%llguidance {"no_forcing": true}\n'
_MOST_GRAMMARS = 64
#: Of a form; 200,000 characters of rules that lead one to the next need less than 128 MiB of stack.
MOST_CHARACTERS = 200_000
#: Of a grammar in GBNF, whose conversion takes time by the square of its length: 0.3 s for these.
_MOST_GBNF = 20_000
#: Of a regular expression, which takes time by the square of its length, too: 1 s for these, if all is optional.
_MOST_REGEX = 20_000
_SEARCH = 1.0  # seconds in which the place of an error is searched for


class Grammar:
    """A compiled grammar: what each answer's place in it begins as.

    Attributes:
        forbidden: (vocabulary,) bool, the tokens that an answer cannot begin with.
    """

    def __init__(self, start: LLMatcher, forbidden: Tensor) -> None:
        self.start, self.forbidden = start, forbidden


class GrammarCompiler:
    """Compiles grammars for one model, from any thread, and keeps the latest ones.

    Args:
        vocab_size: Of the network, which may be more than the tokenizer has.
        ends: Tokens that end an answer.
    """

    def __init__(self, processor: NeoOVProcessor, vocab_size: int, ends: Collection[int]) -> None:
        self.processor, self.vocab_size, self.ends = processor, vocab_size, sorted(ends)
        self._grammars: OrderedDict[StructuredOutputs, Grammar] = OrderedDict()
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="pixelword-grammar")
        self._deep: ThreadPoolExecutor | None = None

    def compile(self, structure: StructuredOutputs) -> Grammar:
        """The grammar of a form; blocks. Raises InputError: the form is not understood, or llguidance is missing."""
        return self.submit(structure).result()

    def submit(self, structure: StructuredOutputs) -> Future[Grammar]:
        """As `compile`, without blocking: forms are compiled in turn, in a thread of their own."""
        with self._lock:
            if (known := self._grammars.get(structure)) is not None:
                self._grammars.move_to_end(structure)
                found: Future[Grammar] = Future()
                found.set_result(known)
                return found
            self._deep = self._deep or deep_executor("pixelword-compile")
            return self._deep.submit(self._compile, structure)

    def _compile(self, structure: StructuredOutputs) -> Grammar:
        tokenizer = self._tokenizer = self._tokenizer or _tokenizer(self.processor, self.vocab_size, self.ends)
        if (known := self._grammars.get(structure)) is not None:  # the same form was compiled before, in turn
            return known
        grammar = _compiled(structure, tokenizer, self.vocab_size)
        with self._lock:
            self._grammars[structure] = grammar
            while len(self._grammars) > _MOST_GRAMMARS:
                self._grammars.popitem(last=False)
        return grammar

    def matcher(self, structure: StructuredOutputs) -> Matcher:
        """For a new answer of this form. Raises as `compile`."""
        return Matcher(self.compile(structure), self.vocab_size, self.ends, self._threads)


class Matcher:
    """One answer's place in its grammar."""

    def __init__(self, grammar: Grammar, vocab_size: int, ends: Sequence[int], threads: ThreadPoolExecutor) -> None:
        self._state = grammar.start.deep_copy()
        self._vocab_size, self._ends, self._threads = vocab_size, ends, threads
        self._forbidden = deque([grammar.forbidden])  # after the answer so far, and after each token of the draft
        self._draft: deque[int] = deque()
        self._ahead: Future[list[Tensor]] | None = None

    def possible(self, draft: Sequence[int]) -> list[int]:
        """A draft up to its first token that may not come, or that ends the answer."""
        tokens = list(draft)
        cut = next((place for place, token in enumerate(tokens) if token in self._ends), len(tokens))
        return tokens[: self._state.validate_tokens(tokens[:cut])] if cut else []

    def look_ahead(self, draft: Sequence[int]) -> None:
        """Begin to compute, in a thread, what may come next and after each token of a draft, which is possible.

        `masked` waits for it; nothing else may be called before.
        """
        self._draft = deque(draft)
        self._ahead = self._threads.submit(self._compute, list(draft))

    def _compute(self, draft: list[int]) -> list[Tensor]:
        found = [forbidden_tokens(self._state, self._vocab_size)]
        for token in draft:
            self._state.consume_token(token)
            found.append(forbidden_tokens(self._state, self._vocab_size))
        if draft:
            self._state.rollback(len(draft))
        return found

    def masked(self, scores: Tensor) -> Tensor:
        """Scores (vocabulary,) of the next token, -inf where it may not come. Raises InputError: none may."""
        if self._ahead is not None:
            self._forbidden, self._ahead = deque(self._ahead.result()), None
        if not self._forbidden:
            self._forbidden.append(forbidden_tokens(self._state, self._vocab_size))
        return scores.masked_fill(self._forbidden[0].to(scores.device), -torch.inf)

    def accept(self, token: int) -> None:
        """Go on behind the token that was chosen. Raises InputError: it may not come."""
        self._forbidden.popleft()
        if not self._draft or self._draft.popleft() != token:
            self._forbidden.clear()
            self._draft.clear()
        if not self._state.consume_token(token):
            raise InputError(f"the grammar of the answer failed: {self._state.get_error().splitlines()[0]}")


def forbidden_tokens(state: LLMatcher, vocab_size: int) -> Tensor:
    """(vocab_size,) bool: tokens that may not come next. Raises InputError: none may."""
    bits = np.unpackbits(np.frombuffer(state.compute_bitmask(), np.uint8), count=vocab_size, bitorder="little")
    if state.is_error():
        why = state.get_error().splitlines()[0]
        if "NoExtension" in why:
            why = "the model has no token for what must come next"
        raise InputError(f"the grammar of the answer failed: {why}")
    return torch.from_numpy(bits == 0)


def check_form(structure: StructuredOutputs) -> None:
    """Check a form before there is a model, whose vocabulary may still be unable to spell it.

    Raises InputError: the form is not understood, or llguidance is not installed.
    """
    with deep_executor("pixelword-check") as executor:
        executor.submit(_check_form, structure).result()


def _check_form(structure: StructuredOutputs) -> None:
    try:
        from llguidance import LLMatcher
    except ImportError as error:
        raise _without_llguidance() from error
    _check_length(structure)
    failed, messages = LLMatcher.validate_grammar_with_warnings(lark(structure))
    if failed:
        raise _refused(structure, messages[0])


def _check_length(structure: StructuredOutputs) -> None:
    if structure.length > MOST_CHARACTERS:
        raise InputError(f"{structure.place}: more than {MOST_CHARACTERS:,} characters; give a shorter form")


def _refused(structure: StructuredOutputs, message: str) -> InputError:
    place, why = _problem(structure, message)
    return InputError(f"{structure.place}{place}: {why}")


def _without_llguidance() -> InputError:
    return InputError(f"structured output needs llguidance: {install_command('structured')}")


def _compiled(structure: StructuredOutputs, tokenizer: LLTokenizer, vocab_size: int) -> Grammar:
    from llguidance import LLMatcher, LLParserLimits

    _check_length(structure)
    limits = LLParserLimits(verbose_errors=False)
    start = LLMatcher(tokenizer, lark(structure), log_level=0, limits=limits)
    if start.is_error():
        raise _refused(structure, start.get_error())
    return Grammar(start, forbidden_tokens(start, vocab_size))


def _problem(structure: StructuredOutputs, message: str) -> tuple[str, str]:
    """(place, what is wrong) of a form that does not compile. message: llguidance's."""
    deadline = time.monotonic() + _SEARCH
    if structure.tools is not None:
        for number, (_, schema) in enumerate(structure.tools.tools):
            place, why = schema_problem(json.loads(schema), deadline)
            if why:
                return f"[{number}].function.parameters{place}", why
    if structure.schema is None:
        return grammar_problem(message)
    return schema_problem(structure.schema, deadline)


def lark(structure: StructuredOutputs) -> str:
    """The form as a grammar in llguidance's dialect of Lark. Raises InputError: a GBNF grammar is not understood."""
    from llguidance import regex_to_lark
    from llguidance.gbnf_to_lark import any_to_lark, is_lark_syntax

    schema = structure.schema
    if schema is not None:
        return f"start: {json_rule(schema)}{_OPTIONS}"
    if structure.tools is not None:
        own = [json_rule(json.loads(schema)) for _, schema in structure.tools.tools]
        return call_rules(structure.tools, own) + _OPTIONS
    if structure.choice is not None:
        return f"start: {' | '.join(map(text_rule, structure.choice))}{_OPTIONS}"
    if structure.regex is not None:
        if len(structure.regex) > _MOST_REGEX:
            raise InputError(f"{structure.place}: more than {_MOST_REGEX:,} characters; give a shorter one")
        return f"start: /{regex_to_lark(structure.regex, '')}/{_OPTIONS}"
    grammar = structure.grammar or ""
    if len(grammar) > _MOST_GBNF and not is_lark_syntax(grammar):
        raise InputError(f"{structure.place}: GBNF of more than {_MOST_GBNF:,} characters; write it in Lark's notation")
    try:
        return any_to_lark(grammar) + _OPTIONS
    except Exception as error:  # it raises nothing more special
        raise InputError(f"{structure.place}: {error}") from error


def json_rule(schema: Any) -> str:
    """JSON that a schema allows, as a part of a Lark rule."""
    own = {} if schema is True else {name: value for name, value in schema.items() if name != "x-guidance"}
    return "%json " + json.dumps(own | {"x-guidance": {"whitespace_pattern": _WHITE_SPACE}})


def text_rule(text: str) -> str:
    """A text as a part of a Lark rule."""
    return json.dumps(text, ensure_ascii=False)


def _tokenizer(processor: NeoOVProcessor, vocab_size: int, ends: Sequence[int]) -> LLTokenizer:
    """The vocabulary as llguidance takes it; tokens that do not show in an answer's text are special.

    Raises InputError: llguidance is not installed, or no token ends an answer.
    """
    try:
        from llguidance import LLTokenizer, TokenizerWrapper
    except ImportError as error:
        raise _without_llguidance() from error
    if not ends:
        raise InputError("structured output needs a model that ends its answers: it names no eos_token_id")
    return LLTokenizer(TokenizerWrapper(_Vocabulary(processor, vocab_size, ends[0])), eos_token=list(ends))


class _Vocabulary:
    """What llguidance reads of a tokenizer, the attributes under its names."""

    def __init__(self, processor: NeoOVProcessor, vocab_size: int, end: int) -> None:
        encoder, own = processor.encoder, TokenBytes(processor.tokenizer)
        silent = [token for token in encoder.silent if token < vocab_size]
        self.tokens = [own(token) for token in range(vocab_size)]
        self.special_token_ids = sorted({*silent, end})
        self.eos_token_id, self.bos_token_id = end, None
        self._encode = encoder.text

    def __call__(self, text: bytes) -> list[int]:
        return self._encode(text.decode(errors="replace"))
