"""Variants differ from the released network in what they say, and in nothing else."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from pixelword.errors import RecipeError
from pixelword.training.building import build_processor, precision
from pixelword.training.optimizer import parameter_groups
from pixelword.training.parallel import World
from pixelword.training.synthetic import DrawnPacks
from pixelword_lab.ablations.encoder import PictureEncoder
from pixelword_lab.ablations.network import VariantModel, build, clip_numbers
from pixelword_lab.ablations.recipe import Network

FLAT = "model.config.llm_config.num_hidden_layers=2", "model.config.llm_config.extra_num_layers=0"


@pytest.fixture
def parts(tiny):
    """(make a variant's network, a pack of pictures): the same random start for each."""
    recipe = tiny("data.mixture={colour: 1, motion: 1, pair: 1}", "data.rows=3", "data.length=192",
                  "model.config.llm_config.initializer_range=0.3")  # fmt: skip
    processor = build_processor(recipe)

    def make(**variant) -> torch.nn.Module:
        torch.manual_seed(0)
        return build(Network(**variant), recipe, processor).eval()

    return make, DrawnPacks(recipe, processor)(3)


def logits(model, pack) -> torch.Tensor:
    with torch.no_grad():
        return model(**{key: value for key, value in pack.inputs().items() if key != "labels"}).logits


def as_variant(model) -> VariantModel:
    """The same weights through the variants' own code."""
    own = VariantModel(model.config, Network())
    own.load_state_dict(model.state_dict())
    return own.eval()


def test_the_released_network_is_a_variant_of_itself(parts) -> None:
    make, pack = parts
    plain = make()
    assert type(plain) is not VariantModel
    torch.testing.assert_close(logits(as_variant(plain), pack), logits(plain, pack))


@pytest.mark.parametrize("variant", [
    {"mask": "causal"}, {"positions": "line"}, {"positions": "m-rope"}, {"positions": "interleaved"},
    {"positions": "video"},
])  # fmt: skip
def test_a_variant_has_the_same_weights_and_says_something_else(parts, variant) -> None:
    make, pack = parts
    plain, other = make(), make(**variant)
    state = other.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.state_dict().items())
    assert (logits(other, pack) - logits(plain, pack)).abs().max() > 1e-3


def test_a_causal_picture_does_not_see_what_is_below_in_it(parts) -> None:
    make, pack = parts
    changed = pack.pixel_values.clone()
    changed[int(pack.image_grid_hw[0].prod()) - 1] += 1  # the last patch of the first picture
    first = int((pack.mm_token_type_ids[0] != 0).nonzero()[0])  # its first token
    moved = {}
    for mask in ("mixed", "causal"):
        model = make(mask=mask)
        before = logits(model, pack)[0, first]
        after = model(**{**{k: v for k, v in pack.inputs().items() if k != "labels"}, "pixel_values": changed})
        moved[mask] = (after.logits[0, first] - before).abs().max().item()
    assert moved["causal"] == 0 and moved["mixed"] > 1e-4


@pytest.mark.parametrize("kind", ["picture", "clip"])
def test_an_encoder_takes_part_and_learns(parts, tiny, kind) -> None:
    _, pack = parts
    recipe = tiny(*FLAT)
    model = build(Network(encoder=kind, encoder_layers=1), recipe, build_processor(recipe))
    model(**pack.inputs()).loss.backward()
    eyes = model.vision_model.embeddings
    assert isinstance(eyes, PictureEncoder)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in eyes.project_in.parameters())
    assert eyes.layers[0].self_attn.q_proj_hw.weight.grad.abs().sum() > 0


def test_an_encoder_is_trained_as_the_pre_buffer_is(tiny) -> None:
    """Its layers' matrices by the same optimizer, and what goes from layer to layer in the same type."""
    changes = ("optimizer.name=muon", "precision=bf16", "data.mixture={colour: 1}")
    recipe, flat = tiny(*changes), tiny(*changes, *FLAT)
    processor = build_processor(recipe)
    native = build(Network(), recipe, processor)
    modular = build(Network(encoder="picture", encoder_layers=1), flat, processor)
    muon = [sum(p.numel() for group in parameter_groups(item, recipe.optimizer)[1] for p in group["params"])
            for item in (native, modular)]  # fmt: skip
    first = native.language_model.model.layers[0]
    more = len(modular.language_model.model.layers) + 1 - len(native.language_model.model.layers)
    assert muon[1] == muon[0] + more * sum(p.numel() for p in first.parameters() if p.ndim == 2)
    kinds = []
    for layer in (*modular.vision_model.embeddings.layers, *modular.language_model.model.layers):
        layer.register_forward_hook(lambda module, given, made: kinds.append(made.dtype))
    with precision(flat, World()):
        modular(**DrawnPacks(flat, processor)(0).inputs())
    assert set(kinds) == {torch.float32}


def test_an_encoder_sees_a_picture_whole_and_a_clip_only_where_told(parts) -> None:
    make, _ = parts
    torch.manual_seed(1)
    eyes = PictureEncoder(make().config, 1)
    grids = torch.tensor([[4, 4], [4, 4], [2, 6]])
    pixels = torch.randn(16 + 16 + 12, 768)
    other = pixels.clone()
    other[16] += 1
    moved = (eyes(other, grids) - eyes(pixels, grids)).abs().amax(1)
    assert moved[:4].max() == 0 and moved[4:8].min() > 0 and moved[8:].max() == 0
    clips = torch.tensor([0, 0, 1])
    moved = (eyes(other, grids, clips) - eyes(pixels, grids, clips)).abs().amax(1)
    assert moved[:8].min() > 0 and moved[8:].max() == 0
    assert eyes(pixels[:0], grids[:0]).shape == (0, 32)


def test_frames_of_a_document_are_a_clip_and_pictures_are_not() -> None:
    #        two pictures, then a clip of two frames | a clip of one, a clip of another document
    types = torch.tensor([[1, 0, 1, 0, 2, 2, 0, 2, 0, 2, 0, 2]])
    t = torch.tensor([[1, 2, 3, 4, 5, 5, 6, 7, 0, 1, 0, 1]])
    numbers = clip_numbers(types, types, t, torch.tensor([0, 8, 10, 12]), types != 0)
    assert numbers.tolist() == [0, 1, 2, 2, 3, 4]


def test_an_encoder_has_no_stage_before_it(tiny_model_dir, tiny) -> None:
    recipe = tiny(f"model={{from: {tiny_model_dir}}}", "tokenizer=null")
    with pytest.raises(RecipeError, match="one stage"):
        partial(build, Network(encoder="picture"))(recipe, build_processor(recipe))
