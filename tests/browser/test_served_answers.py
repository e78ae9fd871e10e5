"""How the served page shows what a model wrote: as words, never as markup; places drawn onto their picture."""

from __future__ import annotations

from typing import Any

import pytest

MARKDOWN = """# Title
Some **bold**, *thin* and `code <b>`:
- one
- <img src=x onerror=alert(1)>

3. third

```js
<script>alert(1)</script>
```
[link](javascript:alert(1))"""


def test_what_a_model_writes_is_never_markup(visit: Any) -> None:
    page = visit()
    shown = page.evaluate(
        """async text => {
          const {render} = await import("/page/markdown.js");
          const root = document.createElement("div");
          root.append(...render(text));
          return root.outerHTML;
        }""",
        MARKDOWN,
    )
    assert shown == (
        "<div><h3>Title</h3><p>Some <strong>bold</strong>, <em>thin</em> and <code>code &lt;b&gt;</code>:</p>"
        "<ul><li>one</li><li>&lt;img src=x onerror=alert(1)&gt;</li></ul>"
        '<ol start="3"><li>third</li></ol>'
        "<pre><code>&lt;script&gt;alert(1)&lt;/script&gt;</code></pre><p>[link](javascript:alert(1))</p></div>"
    )


ANSWER = "<ref>the star</ref><box>[[20, 350, 330, 660]]</box> and <ref>a point</ref><box>[[800, 500]]</box>"


def test_places_in_an_answer_are_drawn_onto_its_picture(visit: Any) -> None:
    """nano names no places, so a turn is put together here as a model's answer would make it."""
    page = visit()
    turn = page.evaluate_handle(
        """async answer => {
          const {TurnView} = await import("/page/turns.js");
          const media = [{kind: "image", name: "it", shown: "/page/examples/left_right.png"}];
          const figures = {first: 0.1, seconds: 1, usage: null, pieces: 9};
          const turn = {text: "where?", media, state: "runs", answer: answer.slice(0, 40), figures};
          const view = new TurnView(turn, {isLast: () => false, pictures: one => one.media});
          document.getElementById("turns").append(view.root);
          return {turn, view, half: view.root.querySelector(".body").innerText};
        }""",
        ANSWER,
    )
    assert turn.evaluate("it => it.half") == ""  # half a mark is not shown
    turn.evaluate("(it, answer) => { Object.assign(it.turn, {state: 'done', answer}); it.view.update(); }", ANSWER)
    assert page.locator(".body").inner_text().splitlines()[0] == "1 the star and 2 a point"
    page.locator(".places img").evaluate("image => image.decode()")
    places = page.evaluate(
        """() => {
          const frame = document.querySelector(".places img").getBoundingClientRect();
          const share = one => { const r = one.getBoundingClientRect();
            return [(r.left - frame.left) / frame.width, (r.top - frame.top) / frame.height,
                    r.width / frame.width, r.height / frame.height]; };
          const [first, second] = document.querySelectorAll(".places .label");
          return {box: share(document.querySelector(".places .over")), first: share(first), point: share(second)};
        }"""
    )
    assert places["box"] == pytest.approx([0.02, 0.35, 0.31, 0.31], abs=0.02)
    assert places["first"][:2] == pytest.approx([0.02, 0.35 - places["first"][3]], abs=0.01)
    left, top, width, height = places["point"]
    assert (left + width / 2, top + height / 2) == pytest.approx((0.8, 0.5), abs=0.01)


def test_of_several_pictures_one_can_be_chosen(visit: Any) -> None:
    page = visit()
    page.evaluate(
        """async answer => {
          const {TurnView} = await import("/page/turns.js");
          const media = ["left_right", "three_squares"].map(name =>
            ({kind: "image", name, shown: `/page/examples/${name}.png`}));
          const figures = {first: 0.1, seconds: 1, usage: null, pieces: 9};
          const turn = {text: "where?", media, state: "done", answer: `<think>hm</think>${answer}`, figures};
          const view = new TurnView(turn, {isLast: () => true, pictures: one => one.media});
          document.getElementById("turns").append(view.root);
        }""",
        ANSWER,
    )
    shown = page.locator(".places img")
    assert shown.get_attribute("alt") == "three_squares with 1 the star, 2 a point"
    page.get_by_role("button", name="image 1").click()
    assert shown.get_attribute("alt") == "left_right with 1 the star, 2 a point"
    assert page.get_by_role("button", name="image 1").get_attribute("aria-pressed") == "true"
    assert page.locator("summary").inner_text() == "Thoughts" and not page.get_by_text("hm").is_visible()


def test_boxes_of_a_json_answer_are_drawn_and_shown_as_json(visit: Any) -> None:
    """As the server sends them: `objects` in the last chunk, in the pixels of the image that they are in."""
    page = visit()
    page.evaluate(
        """async () => {
          const {TurnView} = await import("/page/turns.js");
          const media = ["left_right", "three_squares"].map(name =>
            ({kind: "image", name, shown: `/page/examples/${name}.png`}));
          const objects = [
            {label: "yellow star", box: [2, 34, 30, 61], box_1000: [21, 354, 312, 635], image: 2},
            {label: "blue square", box: [10, 10, 30, 30], box_1000: [104, 104, 312, 312], image: 3}];
          const written = objects.map(({label, box_1000: box, image}) => ({label, box, image}));
          const answer = JSON.stringify({objects: written});
          const figures = {first: 0.1, seconds: 1, usage: null, pieces: 9};
          const turn = {text: "Find the star and a square.", media, state: "done", answer, objects, figures};
          const host = {isLast: () => true, pictures: it => it.media, imagesBefore: () => 2};
          const view = new TurnView(turn, host);
          document.getElementById("turns").append(view.root);
          document.getElementById("start").hidden = true;
        }"""
    )
    shown = page.locator(".places img")
    assert shown.get_attribute("alt") == "left_right with 1 yellow star"  # the first that is named
    page.get_by_role("button", name="image 2").click()
    assert shown.get_attribute("alt") == "three_squares with 2 blue square"
    page.get_by_role("button", name="JSON").click()
    assert '"box":[2,34,30,61]' in page.locator("pre.json").inner_text()
    page.locator(".places img").evaluate("image => image.decode()")
    page.get_by_role("button", name="JSON").click()
    assert page.locator("pre.json").count() == 0
