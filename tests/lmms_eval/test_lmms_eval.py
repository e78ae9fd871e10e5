"""lmms-eval asks nano: by the entry point, in batches, about pictures and videos; and through our server."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lmms_eval.api.instance import Instance

from pixelword.errors import InputError
from pixelword.evaluation.paper.benchmarks import benchmarks
from pixelword.evaluation.paper.files import Row
from pixelword.evaluation.paper.prompting import messages, words
from pixelword.generation.session import load
from pixelword.integrations.lmms_eval.model import PixelwordChat, _messages
from pixelword.integrations.presets import preset
from tests.lmms_eval.conftest import EXAMPLES, ROWS


def shares(found: dict[str, Any], metric: str = "right") -> dict[str, float]:
    """Task -> its figure."""
    return {name.removeprefix("pixelword_"): item[f"{metric},none"] for name, item in found["results"].items()}


def test_pictures_videos_and_rounds_in_batches(lmms: Callable[..., dict[str, Any]]) -> None:
    names = ",".join(f"pixelword_{name}" for name in ("picture", "pictures", "video"))
    found = lmms("--model", "pixelword", "--model_args", "pretrained=nano", "--tasks", names, "--batch_size", "4")
    session = load("nano")
    said = {sample["input"]: sample["filtered_resps"] for sample in found["samples"]}
    for row in (row for name in ("picture", "pictures", "video") for row in ROWS[name]):
        media = [EXAMPLES / name for name in row["media"]]
        videos = [medium for medium in media if medium.suffix == ".mp4"]
        alone = session.ask(row["question"], images=[medium for medium in media if medium not in videos], videos=videos)
        assert said[row["question"]] == alone
    assert shares(found) == {"picture": 1.0, "pictures": 1.0, "video": 1.0}


def test_rounds_go_on_until_the_task_ends(lmms: Callable[..., dict[str, Any]]) -> None:
    found = lmms("--model", "pixelword", "--tasks", "pixelword_rounds", "--batch_size", "4")
    assert found["samples"][0]["filtered_resps"] == ["red", "circle"] and shares(found) == {"rounds": 1.0}


def test_likelihoods_of_choices(lmms: Callable[..., dict[str, Any]]) -> None:
    found = lmms(
        "--model", "pixelword", "--model_args", "pretrained=nano", "--force_simple",
        "--tasks", "pixelword_choices,pixelword_picture", "--batch_size", "2",
    )  # fmt: skip
    assert found["results"]["pixelword_choices"]["acc,none"] == 1.0  # one is the second choice, one the third
    assert found["results"]["pixelword_picture"]["right,none"] == 1.0


@pytest.fixture
def server() -> Iterator[str]:
    """The address of nano's server."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    command = [sys.executable, "-m", "pixelword", "serve", "nano", "--port", str(port)]
    with subprocess.Popen(command) as running:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
                except OSError:
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            running.terminate()


def test_through_the_server(lmms: Callable[..., dict[str, Any]], server: str) -> None:
    args = f"base_url={server},model=nano,api_key=none,num_cpus=2,max_retries=1"
    found = lmms("--model", "async_openai", "--model_args", args, "--tasks", "pixelword_picture,pixelword_pictures")
    assert shares(found) == {"picture": 1.0, "pictures": 1.0}


def test_requests_share_steps() -> None:
    model = PixelwordChat(batch_size=4)
    docs = [str(EXAMPLES / "red_circle.png"), str(EXAMPLES / "three_squares.png")] * 3
    model.task_dict = {"task": {"test": docs}}

    def asked(picture: str) -> list[dict[str, Any]]:
        content = [{"type": "image", "url": picture}, {"type": "text", "text": "describe the picture"}]
        return [{"role": "user", "content": content}]

    requests = [
        Instance(
            "generate_until", ("", asked, {}, place, "task", "test"), 0, {"task": "task", "doc_id": place, "repeats": 1}
        )
        for place in range(len(docs))
    ]
    alone = [item.text for request in requests[:2] for item in model.generate_until([request])]
    steps = model.engine.steps
    together = model.generate_until(requests)
    assert steps > 4 and [item.text for item in together] == alone * 3
    assert model.engine.steps - steps < 3 * steps  # some were shared
    assert together[0].token_counts is not None and together[0].token_counts.output_tokens > 1
    model.clean()


def test_what_cannot_be_answered_is_said() -> None:
    with pytest.raises(InputError, match="colour: not known to pixelword"):
        PixelwordChat(colour="red")
    with pytest.raises(InputError, match="'poster': use one of image, video, si"):
        PixelwordChat(preset="poster")
    with pytest.raises(InputError, match="number of requests"):
        PixelwordChat(batch_size="auto")
    clip = {"type": "video", "url": "a.mp4", "start_time": 1.0}
    with pytest.raises(InputError, match="cut the video"):
        _messages([{"role": "user", "content": [clip]}])
    with pytest.raises(InputError, match="sound"):
        _messages([{"role": "user", "content": [{"type": "audio", "url": "a.wav"}]}])


def test_a_preset_is_upstreams_and_what_is_given_wins() -> None:
    model = PixelwordChat(preset="si", max_frames=8, batch_size=2)
    assert model.session.media.max_pixels == 960 * 720 and model.session.media.max_frames == 8
    assert model.system is None and model.batch_size == 2
    given = {"temperature": 0.6, "do_sample": True, "top_p": 0.9, "until": ["\n\n"], "max_new_tokens": 7}
    drawn = model.sampling_of(given, 3, 100)
    assert (drawn.temperature, drawn.top_p, drawn.stop, drawn.max_new_tokens, drawn.seed) == (0.6, 0.9, ("\n\n",), 7, 3)
    assert model.sampling_of({**given, "do_sample": False}, 3, 100).greedy
    assert model.sampling_of(given, 3, 5).max_new_tokens == 5  # a task may ask for more than the context has left
    with pytest.raises(InputError, match="num_beams is 4"):
        model.sampling_of({"num_beams": 4}, 0, 100)
    model.clean()


def test_videos_under_the_preset_of_space_are_labelled_frames_as_in_the_papers_suite() -> None:
    (vsi,) = benchmarks(["vsi"])
    clip = str(EXAMPLES / "moving_right.mp4")
    row = Row("1", "How many?", (), ("1",), ({"type": "video", "video": clip},))
    model = PixelwordChat(preset="si", num_frames=vsi.frames)
    content = [{"type": "video", "url": clip}, {"type": "text", "text": words(row, vsi)}]
    ours = model.prompt_of(_messages([{"role": "user", "content": content}]))
    asked = messages(row, vsi)
    theirs = model.session.processor.encode(asked, add_generation_prompt=True, media=vsi.media())
    assert ours.input_ids.equal(theirs.input_ids) and ours.pixel_values.equal(theirs.pixel_values)
    model.clean()


@pytest.mark.parametrize(("given", "tokens"), [
    ({}, 128), ({"max_new_tokens": 9}, 9), ({"preset": "image"}, preset("image").new_tokens),
    ({"preset": "image", "max_new_tokens": 9}, 9),
])  # fmt: skip
def test_the_most_tokens_of_an_answer(given: dict[str, Any], tokens: int) -> None:
    model = PixelwordChat(**given)
    assert model.sampling_of({}, 0, 100_000).max_new_tokens == tokens
    model.clean()
