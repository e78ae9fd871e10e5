"""The interval says exactly who sees whom and every kernel attends by it: on random layouts, against the definition."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from pixelword.model import attention_sdpa, masks
from pixelword.model.attention import attend, attend_reference
from pixelword.model.attention_flex import block_mask
from pixelword.model.masks import Interval, interval
from pixelword.model.rope import rope_index

PADDING = -1
#: A row: documents, each of runs that are words (0) or a picture of (height, width).
WORDS = st.integers(1, 12).map(lambda n: (0, n))
PICTURE = st.tuples(st.integers(1, 4), st.integers(1, 4))
DOCUMENT = st.lists(st.one_of(WORDS, PICTURE), min_size=1, max_size=4)
QUIET = settings(max_examples=60, deadline=None)


@dataclass(frozen=True)
class Layout:
    """Rows of equal length L, each (B, L): document, picture (0: words) and what the model would be given."""

    document: Tensor
    picture: Tensor
    token_hw: Tensor
    attention_mask: Tensor | None
    cu_seqlens: Tensor | None

    @property
    def positions(self) -> Tensor:
        return rope_index(self.picture > 0, self.token_hw, self.attention_mask, self.cu_seqlens)

    def definition(self) -> Tensor:
        """Bool (B, L, L): the same document, and no later one unless of the same picture; padding sees itself."""
        index = torch.arange(self.document.shape[1])
        document, picture = self.document[..., None], self.picture[..., None]
        same_picture = (picture == picture.mT) & (picture > 0)
        seen = (document == document.mT) & ((index <= index[:, None]) | same_picture)
        padding = (self.document == PADDING)[..., None]
        return torch.where(padding, index == index[:, None], seen & ~padding.mT)


def build(rows: list[list[list[tuple[int, int]]]], packed: bool, left: bool) -> Layout:
    flat, grids, pictures = [], [], 0
    for row in rows:
        documents: list[tuple[int, int]] = []
        for number, document in enumerate(row):
            for height, width in document:
                if height:
                    pictures += 1
                    grids.append((height, width))
                    documents += [(number, pictures)] * (height * width)
                    documents += [(number, 0)]  # </img>, so that pictures never touch
                else:
                    documents += [(number, 0)] * width
        flat.append(documents)
    length = max(map(len, flat))
    padding = [[(PADDING, 0)] * (length - len(row)) for row in flat]
    whole = torch.tensor([pad + row if left else row + pad for row, pad in zip(flat, padding, strict=True)])
    document, picture = whole.unbind(-1)
    cu_seqlens = None
    if packed:
        begins = torch.ones_like(document, dtype=torch.bool)
        begins[:, 1:] = document[:, 1:] != document[:, :-1]
        cu_seqlens = torch.tensor([*begins.flatten().nonzero().flatten().tolist(), document.numel()])
    mask = (document != PADDING).long() if any(map(len, padding)) else None
    return Layout(document, picture, torch.tensor(grids).view(-1, 2), mask, cu_seqlens)


PACKED = st.builds(
    build, st.lists(st.lists(DOCUMENT, min_size=1, max_size=3), min_size=1, max_size=3), st.just(True), st.booleans()
)
SINGLE = st.builds(
    build,
    st.lists(st.lists(DOCUMENT, min_size=1, max_size=1), min_size=1, max_size=3),
    st.just(False),
    st.booleans(),
)


@QUIET
@given(st.one_of(PACKED, SINGLE))
def test_the_interval_is_the_definition(layout: Layout) -> None:
    visible = interval(layout.positions, layout.attention_mask, layout.cu_seqlens)
    assert torch.equal(visible.dense(layout.document.shape[1])[:, 0], layout.definition())
    assert visible.pairs == int(layout.definition().sum())


def chunk(layout: Layout, where: float) -> tuple[int, Interval, Tensor]:
    """A later chunk's start, interval and definition, the rows before it being cached; it cuts no picture."""
    length = layout.document.shape[1]
    inside = layout.picture[:, 1:] * (layout.picture[:, 1:] == layout.picture[:, :-1])
    cuts = [0, *(1 + (inside == 0).all(0).nonzero().flatten()).tolist()]
    start = cuts[int(where * len(cuts))]
    visible = interval(layout.positions[..., start:], layout.attention_mask, None, start)
    return start, visible, layout.definition()[:, start:, :length]


@QUIET
@given(SINGLE, st.floats(0, 0.999))
def test_a_cached_prefix_is_an_offset(layout: Layout, where: float) -> None:
    length = layout.document.shape[1]
    start, visible, expected = chunk(layout, where)
    assert torch.equal(visible.dense(length)[:, 0], expected)
    counted = interval(layout.positions[..., start:], layout.attention_mask, None, torch.tensor(start))
    assert torch.equal(counted.lo, visible.lo) and torch.equal(counted.hi, visible.hi)  # as a static cache counts


def tensors(batch: int, queries: int, keys: int, seed: int) -> list[Tensor]:
    """q, k, v of 4 heads on 2, where V is narrower than K, in float64."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, 4, queries, 8), (batch, 2, keys, 8), (batch, 2, keys, 4))
    return [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]


def assert_equal_to_the_reference(visible: Interval, keys: int, kernel: str = "sdpa") -> None:
    batch, queries = visible.lo.shape
    ours, reference = (tensors(batch, queries, keys, 0) for _ in range(2))
    found = attend(*ours, visible, 0.3, kernel)
    expected = attend_reference(*reference, visible, 0.3)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    for item, other in zip(ours, reference, strict=True):
        torch.testing.assert_close(item.grad, other.grad, rtol=1e-9, atol=1e-12)


@QUIET
@given(st.one_of(PACKED, SINGLE), st.sampled_from([(256, 48), (8, 3), (5, 100)]))
def test_sdpa_is_the_reference(layout: Layout, sizes: tuple[int, int]) -> None:
    with pytest.MonkeyPatch.context() as patch:  # small blocks, so that small layouts have many
        patch.setattr(masks, "BLOCK", sizes[0])
        patch.setattr(masks, "RUN", sizes[1])
        visible = interval(layout.positions, layout.attention_mask, layout.cu_seqlens)
    blocks = sorted((block.rows.start or 0, block.q0, block.q1) for block in visible.blocks)
    assert sum(q1 - q0 for _, q0, q1 in blocks) in (layout.document.shape[1], layout.document.numel())
    assert_equal_to_the_reference(visible, layout.document.shape[1])
    on_device = Interval(visible.lo, visible.hi)  # as on a GPU, where nobody looks at lo and hi
    assert_equal_to_the_reference(on_device, layout.document.shape[1])


@QUIET
@given(SINGLE, st.floats(0, 0.999))
def test_sdpa_is_the_reference_behind_a_cache(layout: Layout, where: float) -> None:
    _, visible, _ = chunk(layout, where)
    assert_equal_to_the_reference(visible, layout.document.shape[1])
    assert_equal_to_the_reference(visible, layout.document.shape[1] + 7)  # a static cache's free places


@QUIET
@given(st.one_of(PACKED, SINGLE), st.floats(0, 0.999), st.sampled_from([(256, 48), (8, 3)]))
def test_plain_products_are_the_reference(layout: Layout, where: float, sizes: tuple[int, int]) -> None:
    """The path of CPUs without tiles, in float64 and in short pieces; it has no backward pass."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "BLOCK", sizes[0])
        patch.setattr(masks, "RUN", sizes[1])
        patch.setattr(attention_sdpa, "TALL", 5)
        patch.setattr(attention_sdpa, "_products_are_faster", lambda *_: True)
        visible = interval(layout.positions, layout.attention_mask, layout.cu_seqlens)
        behind = None if layout.cu_seqlens is not None else chunk(layout, where)[1]
        for item in filter(None, (visible, behind)):
            q, k, v = tensors(item.lo.shape[0], item.lo.shape[1], layout.document.shape[1] + 3, 0)
            with torch.no_grad():
                found, expected = attend(q, k, v, item, 0.3), attend_reference(q, k, v, item, 0.3)
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@QUIET
@given(st.one_of(PACKED, SINGLE))
def test_the_block_mask_holds_exactly_what_is_visible(layout: Layout) -> None:
    visible = interval(layout.positions, layout.attention_mask, layout.cu_seqlens)
    batch, length = visible.lo.shape
    mask = block_mask(visible, length, side=16)
    elements = visible.dense(-(-length // 16) * 16)
    for b in range(batch):
        for row in range(-(-length // 16)):
            partial = set(mask.kv_indices[b, 0, row, : mask.kv_num_blocks[b, 0, row]].tolist())
            full = set(mask.full_kv_indices[b, 0, row, : mask.full_kv_num_blocks[b, 0, row]].tolist())
            assert not partial & full
            for column in range(-(-length // 16)):
                tile = elements[b, 0, 16 * row : min(16 * row + 16, length), 16 * column : 16 * column + 16]
                assert column in partial | full or not tile.any()
                assert column not in full or tile.all()


@settings(max_examples=25, deadline=None)
@given(PACKED.filter(lambda layout: layout.attention_mask is None))
def test_the_block_mask_is_that_of_create_block_mask(layout: Layout) -> None:
    visible = interval(layout.positions, None, layout.cu_seqlens)
    batch, length = visible.lo.shape
    whole = length - length % 8
    assume(whole)
    # its cut-off rows and columns are torch's own business; of whole blocks both must know the same
    visible = Interval(visible.lo[:, :whole], visible.hi[:, :whole].clamp(max=whole - 1))
    ours = block_mask(visible, whole, side=8)
    theirs = create_block_mask(ours.mask_mod, batch, None, whole, whole, device="cpu", BLOCK_SIZE=8)
    for name in ("kv_num_blocks", "full_kv_num_blocks"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
    for count, indices in (("kv_num_blocks", "kv_indices"), ("full_kv_num_blocks", "full_kv_indices")):
        chosen = torch.arange(whole // 8) < getattr(ours, count)[..., None]
        assert torch.equal(getattr(ours, indices)[chosen], getattr(theirs, indices)[chosen]), indices


@pytest.mark.parametrize("row", [[1, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0, 1]])
def test_a_hole_in_an_attention_mask_is_no_interval(row: list[int]) -> None:
    positions = torch.arange(len(row)).expand(3, 2, -1)
    mask = torch.tensor([[1] * len(row), row])
    with pytest.raises(ValueError, match="row 1 has zeros between ones"):
        interval(positions, mask)


def test_an_attention_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(1, 4\)"):
        interval(torch.arange(4).expand(3, 1, -1), torch.ones(1, 1, 4, 4))
