"""A request in the engine: what chooses its tokens, its answer's text, and what is cached of it."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence as Tokens
from typing import TYPE_CHECKING

from torch import Tensor

from pixelword.errors import InputError
from pixelword.generation.constraints import Chooser
from pixelword.generation.detokenizer import AnswerText
from pixelword.generation.grammar import GrammarCompiler, Matcher
from pixelword.generation.prefix_cache import PrefixBlock, prefix_blocks
from pixelword.generation.request import Reason, Request, Token
from pixelword.generation.sampling import top_logprobs
from pixelword.generation.scheduler import Schedulable

if TYPE_CHECKING:
    from pixelword.model import NeoOVForConditionalGeneration
    from pixelword.processing.tokenizer import TextEncoder


class Sequence(Schedulable):
    """A request with its tokens.

    Attributes:
        positions: (3, 1, num_prompt_tokens) int64, t, t + h and t + w of the prompt.
        blocks: The prompt's parts by content, for the prefix cache.
        tokens: Those of the prompt and of the answer so far.
        evicts: Whether old frames of the prompt are evicted, or its visual tokens compressed, while it is read.
        num_dropped_tokens: With late reading, visual tokens that the pre-buffer's layers do not have.
        num_kept_tokens: With `evicts`, tokens of the prompt that stay cached.
    """

    positions: Tensor

    def __init__(self, request: Request, *, evicts: bool = False) -> None:
        prompt = request.prompt
        images = tuple((image.start, image.stop) for image in prompt.images)
        super().__init__(len(prompt), images, chunked=not evicts, ready=False)
        self.request, self.evicts = request, evicts
        self.tokens: list[int] = prompt.input_ids.tolist()
        self.blocks: list[PrefixBlock] = []
        self.num_kept_tokens = 0
        self.num_dropped_tokens = 0

    def prepare(
        self,
        model: NeoOVForConditionalGeneration,
        encoder: TextEncoder,
        ends: Collection[int],
        grammars: GrammarCompiler,
        *,
        cached: bool,
    ) -> None:
        """Everything that needs no slot; hashing images for the prefix cache (`cached`) takes a while.

        Raises:
            InputError: a bad word has no tokens, or the form of the answer is not understood.
            ValueError: the prompt's visual tokens are not those of its images.
        """
        prompt, sampling = self.request.prompt, self.request.sampling
        grid = prompt.image_grid_hw if len(prompt.image_grid_hw) else None
        self.positions, _ = model.get_rope_index(prompt.input_ids[None], grid, None, prompt.mm_token_type_ids[None])
        self._last_t = int(self.positions[0].max())
        self._choose = Chooser(sampling, len(prompt), ends, encoder.answer)
        self._answer = AnswerText(encoder.decode, sampling, ends)
        structure = sampling.structured_outputs
        self.matcher: Matcher | None = None if structure is None else grammars.matcher(structure)
        if cached and not self.evicts:
            self.blocks = prefix_blocks(prompt)
        self.ready = True

    @property
    def next_position(self) -> int:
        """t of the last token, which is the next one to be read."""
        return self._last_t + len(self.tokens) - self.num_prompt_tokens

    @property
    def max_draft_tokens(self) -> int:
        """Tokens that may follow the next one; 0 where tokens are drawn, not chosen."""
        sampling = self.request.sampling
        return sampling.max_new_tokens - self._answer.new_tokens - 1 if sampling.greedy else 0

    def verify(self, scores: Tensor, drafts: Tokens[int] = ()) -> Reason | None:
        """Take the next token, and one more after each draft that it confirms.

        Args:
            scores: (1 + drafts, vocabulary), after the last token and after each draft.
            drafts: Tokens that were read together with the last one.

        Returns:
            Why the answer ended; None if it goes on.
        """
        for number, row in enumerate(scores):
            if number:
                if drafts[number - 1] != self.tokens[-1]:
                    return None
                self.num_computed_tokens += 1  # the keys and values of a right draft are in the slot already
                self.request.usage.accepted_draft_tokens += 1
            try:
                self._take(row)
            except InputError as error:  # of this request alone
                self.request.error = error
                return "cancelled"
            if self._answer.finish_reason is not None:
                return self._answer.finish_reason
        return None

    def _take(self, scores: Tensor) -> None:
        """Choose the next token of the answer, from scores (vocabulary,). Raises InputError: none may be chosen."""
        request = self.request
        if self.matcher is not None:
            scores = self.matcher.masked(scores)
        token = self._choose(scores, self.tokens)
        self.tokens.append(token)
        text = self._answer.add(token)
        if self.matcher is not None and self._answer.finish_reason is None:
            self.matcher.accept(token)
        request.usage.completion_tokens = self._answer.new_tokens
        request.stop_reason = self._answer.stop_reason
        wanted = request.sampling.logprobs
        logprob, top = (None, ()) if wanted is None else top_logprobs(scores, token, wanted)
        request.emit(Token(token, text, logprob, top))
