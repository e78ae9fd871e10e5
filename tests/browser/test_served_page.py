"""The page of `pixelword serve nano` in Chromium, against a server that is a process of its own and wants a key."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCLE, SIDES, SQUARES, CLIP = (
    EXAMPLES / name for name in ("red_circle.png", "left_right.png", "three_squares.png", "moving_right.mp4")
)
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 740}


def question(page: Any) -> Any:
    return page.get_by_role("textbox", name="Question")


def ask(page: Any, words: str) -> Any:
    """Type and send; the new turn."""
    before = page.locator(".turn").count()
    question(page).fill(words)
    page.keyboard.press("Enter")
    turn = page.locator(".turn").nth(before)
    turn.wait_for()
    return turn


def answer_of(turn: Any, state: str = "done") -> str:
    """The words of an answer that has ended as it should."""
    turn.locator(f"xpath=self::*[@data-state='{state}']").wait_for()
    return turn.locator(".body").inner_text()


def files_of(page: Any, *paths: Path) -> Any:
    """A DataTransfer with these files, as the browser makes one for drops and pastes."""
    kinds = {".png": "image/png", ".mp4": "video/mp4", ".txt": "text/plain"}
    told = [[path.name, kinds[path.suffix], base64.b64encode(path.read_bytes()).decode()] for path in paths]
    return page.evaluate_handle(
        """files => {
          const transfer = new DataTransfer();
          for (const [name, type, data] of files)
            transfer.items.add(new File([Uint8Array.from(atob(data), one => one.charCodeAt(0))], name, {type}));
          return transfer;
        }""",
        told,
    )


def drop(page: Any, *paths: Path) -> None:
    given = {"dataTransfer": files_of(page, *paths)}
    page.dispatch_event("body", "dragenter", given)
    assert page.locator("#drop").is_visible()
    page.dispatch_event("body", "drop", given)
    assert not page.locator("#drop").is_visible()


def paste(page: Any, *paths: Path) -> None:
    page.evaluate(
        """clipboardData => document.getElementById("words")
             .dispatchEvent(new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}))""",
        files_of(page, *paths),
    )


def choose(page: Any, *paths: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add images or videos").click()
    chooser.value.set_files(paths)


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_every_screen_and_can_be_read(visit: Any, viewport: Any, scheme: str) -> None:
    page = visit(viewport=viewport, color_scheme=scheme)
    for button in ("Settings", None):
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        if button:
            page.get_by_role("button", name=button).click()
            assert page.get_by_label("Temperature").is_visible()
    contrasts = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const channel = value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
          const light = name => {
            const [r, g, b] = style.getPropertyValue(name)
              .match(/[0-9a-f]{2}/gi).map(two => channel(parseInt(two, 16) / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const pairs = [["--ink", "--ground"], ["--ink", "--asked"], ["--muted", "--ground"], ["--muted", "--card"],
                         ["--bad", "--ground"], ["--strong", "--ground"], ["--on-strong", "--strong"]];
          return pairs.map(([one, other]) => {
            const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05);
          });
        }"""
    )
    assert min(contrasts) >= 4.5  # WCAG AA
    luminance = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (sum(luminance) > 600) is (scheme == "light")
    page.keyboard.press("Escape")
    assert not page.get_by_label("Temperature").is_visible()


def test_an_example_is_answered_and_the_chat_goes_on(visit: Any) -> None:
    page = visit()
    page.get_by_role("button", name="what is on the left?").click()
    first = page.locator(".turn").first
    assert answer_of(first) == "a yellow star" and first.locator("img").is_visible()
    assert re.search(r"first word after [\d.]+ m?s\s+4 tokens", first.locator(".figures").inner_text())
    second = ask(page, "what is on the right?")
    assert answer_of(second) == "a purple heart"
    # the picture was read for the first question already
    assert re.search(r"[1-9]\d* of these cached", second.locator(".figures").inner_text())
    assert first.get_by_role("button", name="Ask again").count() == 0  # later turns rest on it
    second.get_by_role("button", name="Ask again").click()
    assert answer_of(second) == "a purple heart" and page.locator(".turn").count() == 2
    page.get_by_role("button", name="New chat").click()
    assert page.locator(".turn").count() == 0 and page.locator("#start").is_visible()


@pytest.mark.parametrize("way", [drop, paste, choose], ids=["drop", "paste", "choose"])
def test_pictures_and_videos_come_in_every_way(visit: Any, way: Callable[..., None]) -> None:
    page = visit()
    way(page, SIDES, SQUARES)
    page.get_by_role("button", name="Remove three_squares.png").click()
    way(page, SQUARES)
    assert page.locator(".thumb").count() == 2
    turn = ask(page, "which picture has more objects?")
    assert answer_of(turn) == "the second" and turn.locator("img").count() == 2
    assert page.locator(".thumb").count() == 0
    page.get_by_role("button", name="New chat").click()
    way(page, CLIP)
    turn = ask(page, "which way does it move?")
    assert answer_of(turn) == "right"
    assert turn.locator("video").evaluate("video => video.error === null && video.videoWidth") == 64


def test_an_answer_comes_in_pieces_and_a_stop_frees_its_place(visit: Any, served_page: Any) -> None:
    page = visit()

    def endless(route: Any) -> None:
        route.continue_(post_data=json.dumps(route.request.post_data_json | {"ignore_eos": True, "max_tokens": 1900}))

    page.route("**/v1/chat/completions", endless)
    drop(page, SQUARES)
    turn = ask(page, "describe the picture")
    turn.locator("xpath=self::*[@data-state='runs']").wait_for()
    assert _figure(served_page, "num_requests_running") == 1
    assert page.get_by_role("button", name="Send").count() == 0
    turn.locator(".body", has_text="a blue square at the top left, a").wait_for()
    page.keyboard.press("Escape")
    said = answer_of(turn, "stopped")
    assert said.startswith("a blue square at the top left") and "stopped" in turn.locator(".foot").inner_text()
    end = time.monotonic() + 20
    while _figure(served_page, "num_requests_running"):
        assert time.monotonic() < end, "the place is still taken"
        time.sleep(0.05)
    page.unroute("**/v1/chat/completions")
    turn.get_by_role("button", name="Ask again").click()
    assert answer_of(turn).endswith("a blue square at the bottom")


def _figure(served: Any, name: str) -> float:
    page = httpx.get(f"{served.address}/metrics", headers={"Authorization": f"Bearer {served.key}"}, timeout=30).text
    return float(re.findall(rf"^vllm:{name}{{.*}} (\S+)$", page, re.MULTILINE)[0])


def test_what_cannot_be_read_is_told_in_the_server_s_line_and_can_be_mended(visit: Any, tmp_path: Path) -> None:
    page = visit()
    words, broken = tmp_path / "words.txt", tmp_path / "broken.png"
    words.write_text("no picture")
    broken.write_bytes(CIRCLE.read_bytes()[:60])
    drop(page, words)
    assert page.locator("#notice").inner_text() == "words.txt is not an image or a video"
    drop(page, broken)
    turn = ask(page, "what colour is the circle?")
    answer_of(turn, "failed")
    assert "damaged" in turn.get_by_role("alert").inner_text()
    turn.get_by_role("button", name="Edit").click()
    assert page.locator(".turn").count() == 0
    assert question(page).input_value() == "what colour is the circle?"
    page.get_by_role("button", name="Remove broken.png").click()
    drop(page, CIRCLE)
    page.get_by_role("button", name="Send").click()
    assert answer_of(page.locator(".turn").first) == "red"


def test_what_is_too_large_is_not_sent(visit: Any) -> None:
    page = visit()
    page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(33 << 20)], "large.png", {type: "image/png"}));
          document.body.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
        }"""
    )
    page.locator("#notice", has_text="large.png has 33 MB; this server takes 32 MB").wait_for()
    assert page.locator(".thumb").count() == 0


def test_a_server_that_is_gone_is_told_and_tried_again(visit: Any) -> None:
    page = visit()
    page.context.set_offline(True)
    turn = ask(page, "what is the opposite of hot?")
    answer_of(turn, "failed")
    assert turn.get_by_role("alert").inner_text() == "the server cannot be reached; is it still running?"
    page.context.set_offline(False)
    turn.get_by_role("button", name="Try again").click()
    assert answer_of(turn) == "cold"


def test_the_key_is_asked_for_and_kept_in_this_tab_alone(visit: Any, served_page: Any) -> None:
    page = visit(signed_in=False)
    field = page.get_by_label("This server needs a key")
    field.wait_for()
    turn = ask(page, "what is the opposite of hot?")
    answer_of(turn, "failed")
    assert "key" in turn.get_by_role("alert").inner_text()
    for key in ("wrong", served_page.key):
        field.fill(key)
        page.get_by_role("button", name="Use it").click()
        if key == "wrong":
            page.locator("#key-error", has_text="key").wait_for()
    page.locator("#model").wait_for()
    assert not field.is_visible()
    turn.get_by_role("button", name="Try again").click()
    assert answer_of(turn) == "cold"
    page.reload()
    page.locator("#model").wait_for()
    assert page.evaluate("[document.cookie, localStorage.length, location.search]") == ["", 0, ""]


def test_settings_go_into_the_request_and_can_be_taken_back(visit: Any) -> None:
    page = visit()
    page.get_by_role("button", name="Settings").click()
    given = {"Temperature": 1.5, "Top p": 0.9, "Top k": 40, "Seed": 7, "Longest answer": 3, "Pixels per image": 4096}
    for label, value in given.items():
        page.get_by_label(label).fill(str(value))
    page.get_by_label("System message").fill("be brief")
    page.get_by_role("button", name="Close").click()
    sent = _sent(page, "what is it?")
    names = ("temperature", "top_p", "top_k", "seed", "max_tokens", "max_pixels")
    assert [sent[name] for name in names] == list(given.values())
    assert sent["messages"][0] == {"role": "system", "content": "be brief"}
    page.reload()
    page.locator("#model").wait_for()
    page.get_by_role("button", name="Settings").click()
    assert page.get_by_label("Temperature").input_value() == "1.5"
    page.get_by_label("Temperature").fill("9")
    page.get_by_role("button", name="Back to the defaults").click()
    question(page).focus()
    assert set(_sent(page, "what is it?")) == {"messages", "stream", "stream_options"}


def _sent(page: Any, words: str) -> dict[str, Any]:
    with page.expect_request("**/v1/chat/completions") as asked:
        turn = ask(page, words)
    answer_of(turn)
    return asked.value.post_data_json


def test_everything_can_be_done_by_keyboard(visit: Any) -> None:
    page = visit()
    focused = "document.activeElement.ariaLabel ?? document.activeElement.innerText.trim()"
    assert page.evaluate(focused) == "Question"
    page.keyboard.type("what is")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("2 plus 3?")
    assert question(page).input_value() == "what is\n2 plus 3?"
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "Send"
    page.keyboard.press("Enter")
    answer_of(page.locator(".turn").first)
    page.keyboard.press("Home")
    reached = set()
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(focused))
    assert {"New chat", "Settings", "Add images or videos", "Question", "Send", "Copy", "Ask again"} <= reached
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input:not([hidden]), textarea")]
             .filter(one => !(one.ariaLabel || one.innerText || one.title || one.labels?.length))
             .map(one => one.outerHTML)"""
    )
    assert nameless == []


def test_an_answer_can_be_copied(visit: Any) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    turn = ask(page, "what is the opposite of hot?")
    answer_of(turn)
    turn.get_by_role("button", name="Copy").click()
    turn.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "cold"
