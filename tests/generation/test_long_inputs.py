"""Large pictures and long videos: crops that a first pass looks at, and frames that are let go; by default neither."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pixelword.errors import InputError
from pixelword.generation.limits import answer_room
from pixelword.generation.long_context.crops import attention_maps, select_crops, with_crops
from pixelword.generation.long_context.frame_eviction import EvictingPrefill, frames_of
from pixelword.generation.long_context.incremental_prefill import IncrementalPrefill
from pixelword.generation.long_context.options import LongInputs
from pixelword.generation.sampling import Sampling
from pixelword.generation.session import Session, load, user_message
from pixelword.processing.images import load_image
from pixelword.processing.options import MediaOptions
from pixelword.processing.videos import Video


@pytest.fixture(scope="module")
def session(tiny_model_dir: Path) -> Session:
    return load(str(tiny_model_dir), dtype="float32", device="cpu")


def clip(count: int) -> Video:
    random = np.random.default_rng(count)
    frames = [Image.fromarray(random.integers(0, 255, (64, 64, 3), dtype=np.uint8)) for _ in range(count)]
    return Video(tuple(frames), tuple(map(float, range(count))), float(count))


@pytest.fixture(scope="module")
def film(session: Session) -> Any:
    """A prompt with a video of twelve frames, encoded."""
    return session.processor.encode([user_message("what?", videos=[clip(12)])], add_generation_prompt=True)


def reader(session: Session, prompt: Any, kept: int, **options: Any) -> EvictingPrefill:
    frames = frames_of(prompt)
    return EvictingPrefill(session.model, prompt, frames, kept, **options)


def with_long(session: Session, **options: Any) -> Session:
    return Session(session.model, session.processor, long=LongInputs(**options))


def test_attention_equals_the_one_written_out(session: Session, film: Any) -> None:
    """What the words look at, against softmax(q k) of a whole forward, layer by layer."""
    end = int((film.mm_token_type_ids != 0).nonzero()[-1]) + 1
    own = IncrementalPrefill(session.model, film)
    own.read(0, end)
    looked = own.attention(end, len(film))
    assert len(own.held) == end == own.cache.get_seq_length()  # the words were taken back

    from pixelword.explain.trace import read

    told = read(session.model, session.processor, film, [5])
    layers, before = session.model.config.llm_config.num_hidden_layers, session.model.config.llm_config.extra_num_layers
    total = torch.zeros(end)
    for number in range(before, layers):
        step = told.step(number, told.states[number])
        k = step.k[0].repeat_interleave(step.q.shape[1] // step.k.shape[1], 0)
        scores = step.q[0] @ k.transpose(1, 2) * session.model.config.llm_config.head_dim**-0.5
        hidden = ~told.visible.dense(scores.shape[-1])[0]
        rows = scores.masked_fill(hidden, -torch.inf).softmax(-1)[:, end : len(film)]
        total += rows.mean((0, 1))[:end].detach()
    assert torch.allclose(looked, total / (layers - before), atol=1e-5)


def test_frames_with_their_labels(session: Session) -> None:
    turns = [user_message("a?", videos=[clip(3)]), {"role": "assistant", "content": "b"}]
    turns.append(user_message("c?", videos=[Video(clip(2).frames, (), 0.0)]))
    prompt = session.processor.encode(turns, add_generation_prompt=True)
    frames = frames_of(prompt)
    assert [frame.opens for frame in frames] == [True, False, False, True, False]
    assert "[00:02.00]:" in session.processor.tokenizer.decode(prompt.input_ids[frames[2].start : frames[2].first])
    assert all(int((prompt.mm_token_type_ids[frame.first : frame.stop] == 2).sum()) == 4 for frame in frames)


def test_a_video_right_after_another_opens_anew(session: Session) -> None:
    """Nothing but the next `<img>` is between two videos without times."""
    untimed = Video(clip(2).frames, (), 0.0)
    prompt = session.processor.encode([user_message("a?", videos=[untimed, untimed])], add_generation_prompt=True)
    frames = frames_of(prompt)
    assert [frame.opens for frame in frames] == [True, False, True, False]
    assert [frame.start for frame in frames] == [frames[0].first, frames[0].stop, frames[2].first, frames[2].stop]


@torch.inference_mode()
def test_with_all_frames_kept_the_answer_is_the_plain_one(session: Session, film: Any) -> None:
    plain = session.model(**session.processor.batch([film])).logits[0, -1]
    assert torch.allclose(reader(session, film, 12).read_whole(), plain, atol=1e-4)


@torch.no_grad()
def test_decoding_goes_on_from_what_stays(session: Session, film: Any) -> None:
    """The engine's tokens are those of the network with the cache that eviction leaves, at the positions of before."""
    own = reader(session, film, 4)
    with torch.inference_mode():
        expected = [int(own.read_whole().argmax())]
        for t in range(int(own.positions[0].max()) + 1, int(own.positions[0].max()) + 8):
            ids, where = torch.tensor([expected[-1:]]), torch.full((3, 1, 1), t)
            expected.append(
                int(session.model(input_ids=ids, position_ids=where, cache=own.cache).logits[0, -1].argmax())
            )
    (request,) = session.generate([film], [Sampling(8, ignore_eos=True)], max_cached_frames=4)
    assert request.token_ids == expected
    assert request.usage.peak_cached_tokens < len(film)


def test_the_room_of_an_answer_is_in_steps_of_t_where_frames_are_evicted(session: Session, film: Any) -> None:
    t = int(reader(session, film, 4).positions[0].max()) + 1
    assert answer_room(film, 100, evicts=True) == 100 - t > answer_room(film, 100) == 100 - len(film)


def test_no_more_frames_are_held_than_may_be(session: Session, film: Any) -> None:
    own = reader(session, film, 4)
    logits = own.read_whole()
    held = [frame for frame in own.frames if bool((own.held == frame.first).any())]
    assert len(held) == 4
    assert own.frames[0] in held and own.frames[-1] in held
    assert logits.isfinite().all()
    whole = reader(session, film, 12)
    whole.read_whole()
    frame = len(film) - len(session.processor.encode([user_message("what?", videos=[clip(11)])], True))
    assert own.peak_tokens <= whole.peak_tokens - 5 * frame  # six frames and the question at most
    assert own.cache.get_seq_length() == len(own.held) < len(film)


def test_what_stays_is_as_it_was(session: Session, film: Any) -> None:
    """A frame that is let go takes its own tokens along and nothing else: what was read before is untouched."""
    item, other = (reader(session, film, kept) for kept in (2, 12))
    for own in (item, other):
        own.read(0, own.frames[5].stop)
    item.evict(list(item.frames[:6]))
    places = item.held
    for mine, theirs in zip(item.cache.layers, other.cache.layers, strict=True):
        assert torch.equal(mine.keys, theirs.keys[:, :, places])
    assert item.frames[0].first in places and item.frames[5].first in places and len(places) < item.frames[5].stop


def test_a_session_lets_frames_go_where_it_is_asked_to(session: Session) -> None:
    plain = session.answer([user_message("what?", videos=[clip(12)])])
    enough = with_long(session, kept_frames=12).answer([user_message("what?", videos=[clip(12)])])
    assert (enough.text, enough.prompt_tokens) == (plain.text, plain.prompt_tokens)
    small = with_long(session, kept_frames=3)
    answer = small.answer([user_message("what?", videos=[clip(12)])], Sampling(max_new_tokens=8))
    assert answer.new_tokens <= 8
    assert "".join(small.stream("what?", videos=[clip(12)], max_new_tokens=8)) == answer.text


def test_longer_than_the_context(session: Session) -> None:
    """Tokens beyond the context, of which a few are held at a time; time still has to fit."""
    long = Video(clip(2).frames * 500, (), 0.0)
    with pytest.raises(InputError, match="reads 2048 with the answer"):
        session.ask("what?", videos=[long])
    with pytest.raises(InputError, match="but this model reads"):
        with_long(session, kept_frames=4).ask("what?", videos=[long])


def test_crops_lie_where_most_was_looked_at() -> None:
    heat = np.zeros((8, 8))
    heat[5:7, 1:3] = 1.0
    heat[0, 7] = 0.5
    item, two = select_crops([heat], [(800, 400)], 200 * 100, 2)
    assert two.box == (100, 250, 300, 350)
    assert item.box[0] <= 700 and item.box[2] == 800 and item.box[1] == 0
    assert select_crops([heat], [(0, 0)], 100, 2) == []


def test_crops_follow_the_picture_that_they_are_of(session: Session) -> None:
    large = Image.effect_noise((512, 256), 90).convert("RGB")
    messages = [user_message("what?", images=[large])]
    shown, crops = with_crops(session.model, session.processor, messages, MediaOptions(), 2)
    pictures = [part["image"] for part in shown[-1]["content"] if part["type"] == "image"]
    assert len(pictures) == 3 and len(crops) == 2 and pictures[0].size == (512, 256)
    share = 2 * 16_384 // 3
    sides = [(cut.box[2] - cut.box[0], cut.box[3] - cut.box[1]) for cut in pictures[1:]]
    assert all(0.5 * share <= width * height <= 2 * share for width, height in sides)
    assert all(0 <= crop.box[0] < crop.box[2] <= 512 and 0 <= crop.box[1] < crop.box[3] <= 256 for crop in crops)
    (heat,) = attention_maps(session.model, session.processor, messages, MediaOptions())
    assert heat.size <= 16 and heat.sum() > 0
    assert with_long(session, crops=2).answer(messages).visual_tokens > session.answer(messages).visual_tokens


def test_small_pictures_are_left_alone(session: Session) -> None:
    messages = [user_message("what?", images=[Image.new("RGB", (96, 96), "red")])]
    shown, crops = with_crops(session.model, session.processor, messages, MediaOptions(), 2)
    assert shown == messages and crops == []
    assert with_long(session, crops=2).answer(messages).text == session.answer(messages).text


def test_pictures_that_share_are_large_sooner(session: Session) -> None:
    """One of 128 x 128 is shown whole within as many pixels; four of them share twice as many, half for each."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8))
    media = MediaOptions(min_pixels=4096, max_pixels=128 * 128)
    cropped = [
        len(with_crops(session.model, session.processor, [user_message("where?", [picture] * count)], media, 1)[1])
        for count in (1, 2, 4)
    ]
    assert cropped == [0, 0, 1]


@pytest.mark.parametrize("wrong", [{"crops": -1}, {"kept_frames": 1}])
def test_bad_options_are_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        LongInputs(**wrong)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_crops_of_a_turned_photograph_are_of_the_upright_one(session: Session, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    Image.effect_noise((512, 256), 90).convert("RGB").save(file, "PNG", exif=exif)
    upright = load_image(file.getvalue())
    message = user_message("what?", images=[file.getvalue()])
    shown, crops = with_crops(session.model, session.processor, [message], MediaOptions(), 2)
    prompt = session.processor.encode(shown)
    whole, *parts = prompt.images
    assert whole.origin is not None and (whole.origin.size, whole.origin.box) == (upright.size, (0, 0, *upright.size))
    assert [part.origin.box for part in parts if part.origin] == [crop.box for crop in crops]
    for part, crop in zip(parts, crops, strict=True):
        alone = session.processor.encode([user_message("what?", images=[upright.crop(crop.box)] * 3)])
        assert part.origin is not None and part.origin.number == 0
        assert torch.equal(prompt.pixel_values[part.patches], alone.pixel_values[alone.images[0].patches])
