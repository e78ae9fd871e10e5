"""The served page's tab "Look inside": drawn from the server's own route, under the page's strict policy."""

from __future__ import annotations

import re
from typing import Any


def test_an_answer_is_looked_into(visit: Any) -> None:
    page = visit()
    page.locator("#examples button").filter(has_text=re.compile("left|right")).first.click()
    turn = page.locator(".turn[data-state='done']")
    turn.wait_for()
    turn.get_by_role("button", name="Look inside").click()
    look = page.locator("#panel-inside.look")
    look.locator(".frame canvas").first.wait_for()
    words = look.locator(".answer .word").all_inner_texts()
    assert " ".join(words) == turn.locator(".body").inner_text().strip()
    look.get_by_role("button", name="occlusion", exact=True).click()
    assert "nats" in look.locator(".legend").inner_text()
    style = look.locator(".card").first.evaluate("one => getComputedStyle(one).borderRadius")
    assert style == "12px"  # the style sheet came, too
    right = "[...document.querySelectorAll('#panels .card')].map(c => c.getBoundingClientRect().right)"
    assert max(page.evaluate(right)) <= page.evaluate("innerWidth")


def test_a_refusal_is_told_in_its_line(visit: Any) -> None:
    page = visit()
    told = page.evaluate(
        """async () => {
          const {inside} = await import("/page/inside.js");
          const {call} = await import("/page/api.js");
          const root = document.createElement("div");
          inside.mount(root, {call});
          await inside.show({sent: {messages: [{role: "user", content: "hello"}]}, answer: ""});
          return root.innerText;
        }"""
    )
    assert "answer is empty" in told
