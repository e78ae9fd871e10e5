"""Windows: dialogs, forms, settings, lists to tick, editors, menus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pixelword_lab.families.screens.lists import commands, some
from pixelword_lab.families.screens.source import Page, Source


def dialog(source: Source) -> Page:
    words: dict[str, Any] = {
        "title": source.topic(), "message": source.sentence(70), "symbol": source.rng.choice(("", "⚠", "ℹ", "❓", "✖")),
        "option": source.boxes("options", 1, 1)[0] if source.rng.random() < 0.5 else None,
        "commands": source.buttons(1, 3),
    }  # fmt: skip
    return Page("dialog", words, others={"checkbox": list(some("options", source.split))})


def _value(source: Source, label: str) -> str:
    """What a person could have typed into a field of this name."""
    rng = source.rng
    kinds: dict[str, Callable[[], str]] = {
        "First name": lambda: source.one("first names"), "Last name": lambda: source.one("last names"),
        "Email": lambda: f"{source.one('first names').lower()}@{source.one('nouns')}.com",
        "Phone": lambda: f"{rng.randint(100, 999)} {rng.randint(1000, 9999)}", "City": lambda: source.one("cities"),
        "Street": lambda: f"{rng.randint(1, 99)} {source.one('streets')} Street",
        "Birthday": source.day, "Date": source.day, "Postcode": lambda: str(rng.randint(10000, 99999)),
        "Amount": lambda: f"{rng.randint(1, 999)}.{rng.randint(10, 99)}",
        "Quantity": lambda: str(rng.randint(1, 60)), "Time": lambda: f"{rng.randint(0, 23)}:{rng.randint(10, 59)}",
        "Room": lambda: str(rng.randint(100, 499)), "Seat": lambda: f"{rng.randint(1, 40)}{rng.choice('ABCDEF')}",
        "Code": lambda: "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ23456789") for _ in range(6)),
    }  # fmt: skip
    return kinds.get(label, lambda: source.one("nouns").capitalize())()


def form(source: Source) -> Page:
    rng = source.rng
    labels = source.pick("fields", rng.randint(2, 5))
    fields = [
        {"label": label, "value": "" if rng.random() < 0.2 else _value(source, label), "options": rng.random() < 0.15}
        for label in labels
    ]
    choice: dict[str, Any] | None = None
    if rng.random() < 0.4:
        options = source.boxes("cities", 2, 4, "radio")
        on = rng.randrange(len(options))
        for place, item in enumerate(options):
            item.update(on=place == on, disabled=False)
        choice = {"label": rng.choice(("Send to", "Office", "Travel to", "Branch")), "options": options}
    words: dict[str, Any] = {
        "title": source.topic(), "fields": fields, "choice": choice, "beside": rng.random() < 0.4,
        "boxes": source.boxes("options", 1, 2) if rng.random() < 0.5 else [], "commands": source.buttons(1, 2),
    }  # fmt: skip
    free = [item for item in some("fields", source.split) if item not in labels]
    page = Page("form", words, others={"field": free, "checkbox": list(some("options", source.split))})
    if choice:
        chosen = next(option["label"] for option in choice["options"] if option["on"])
        names = tuple(option["label"] for option in choice["options"])
        page.asks(
            "state",
            f"What is chosen under {choice['label']}?|Which option is selected for {choice['label']}?",
            chosen,
            names,
        )
    return page


def settings(source: Source) -> Page:
    rng = source.rng
    tabs = source.pick("sections", rng.randint(2, 4))
    on = rng.randrange(len(tabs))
    options = source.boxes("options", 3, 6)
    cut = rng.randint(0, len(options))
    words: dict[str, Any] = {
        "title": rng.choice((tabs[on], "Settings", "Preferences", "Options")), "switches": options[:cut],
        "tabs": [{"label": tab, "on": place == on} for place, tab in enumerate(tabs)],
        "boxes": options[cut:], "commands": source.buttons(1, 2) if rng.random() < 0.6 else [],
    }  # fmt: skip
    free = list(some("options", source.split))
    page = Page(
        "settings", words, others={"checkbox": free, "switch": free, "tab": list(some("sections", source.split))}
    )
    page.asks("state", "Which tab is open?|Which tab is selected?", tabs[on], tuple(tabs))
    return page


def todo(source: Source) -> Page:
    rng = source.rng
    verbs = ("Buy", "Find", "Check", "Fetch", "Order", "Pack", "Bring")
    boxes = source.boxes("goods", 3, 7)
    for box in boxes:
        box.update(label=f"{rng.choice(verbs)} {box['label']}", disabled=False)
    words: dict[str, Any] = {"title": rng.choice(("To do", "Today", "Tasks", source.topic())), "boxes": boxes,
             "commands": source.buttons(1, 2) if rng.random() < 0.5 else []}  # fmt: skip
    page = Page("tasks", words, others={"checkbox": [f"Buy {item}" for item in some("goods", source.split)]})
    done = sum(box["on"] for box in boxes)
    page.asks("number of", "How many tasks are there?|How many entries does the list have?", str(len(boxes)))
    page.asks("number of", "How many tasks are checked?|How many are ticked?", str(done))
    return page


def editor(source: Source) -> Page:
    rng = source.rng
    lines = [source.sentence(34) for _ in range(rng.randint(3, 6))]
    row, column = rng.randint(1, 99), rng.randint(1, 80)
    status = [
        {
            "text": f"Ln {row}, Col {column}",
            "ask": "Where is the cursor?|Which line and column does the status bar show?",
        },
        {"text": rng.choice(("UTF-8", "ASCII", "Latin-1", "UTF-16")), "ask": "Which encoding is shown?"},
        {"text": f"{rng.randint(50, 200)}%", "ask": "What is the zoom?"},
    ]
    name = f"{source.one('nouns')}.{rng.choice(('txt', 'md', 'doc', 'py', 'csv'))}"
    words: dict[str, Any] = {"title": name, "menus": source.pick("menus", rng.randint(3, 5)),
             "commands": source.buttons(2, 5), "lines": lines, "status": status[: rng.randint(1, 3)]}  # fmt: skip
    page = Page("editor", words, others={"menu": list(some("menus", source.split))})
    page.asks("number of", "How many lines of text are there?|How many lines does the text have?", str(len(lines)))
    return page


def menu(source: Source) -> Page:
    rng = source.rng
    menus = source.pick("menus", rng.randint(2, 4))
    labels = rng.sample(commands(source.split), rng.randint(4, 9))
    keys = rng.sample(
        [f"{press}+{key}" for press in ("Ctrl", "Alt", "Shift") for key in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"], len(labels)
    )
    items: list[dict[str, Any]] = [
        {"label": label, "keys": key if rng.random() < 0.5 else "", "disabled": rng.random() < 0.2,
         "on": rng.random() < 0.12, "line": place and rng.random() < 0.2}
        for place, (label, key) in enumerate(zip(labels, keys, strict=True))
    ]  # fmt: skip
    words: dict[str, Any] = {
        "title": rng.choice(menus),
        "menus": menus,
        "items": items,
        "shift": rng.choice((0, 4, 20)),
    }
    page = Page(
        "menu", words, others={"menuitem": list(commands(source.split)), "menu": list(some("menus", source.split))}
    )
    page.asks("state", "Which menu is open?|Which menu is selected?", words["title"], tuple(menus))
    page.asks("number of", "How many entries does the open menu have?", str(len(items)))
    page.asks(
        "number of",
        "How many entries are greyed out?|How many entries cannot be chosen?",
        str(sum(item["disabled"] for item in items)),
    )
    return page
