"""Documents: mailboxes, tables, articles, receipts, folders."""

from __future__ import annotations

from typing import Any

from pixelword_lab.drawing.tabular import Columns, number
from pixelword_lab.families.screens.lists import some
from pixelword_lab.families.screens.source import Page, Source


def mailbox(source: Source) -> Page:
    rng = source.rng
    senders = source.pick("first names", rng.randint(3, 6))
    on = rng.randrange(len(senders) * 2)
    mails: list[dict[str, Any]] = [
        {"sender": f"{name} {source.one('last names')}", "time": f"{rng.randint(6, 23)}:{rng.randint(10, 59)}",
         "subject": source.topic(), "on": place == on}
        for place, name in enumerate(senders)
    ]  # fmt: skip
    words: dict[str, Any] = {
        "title": rng.choice(("Inbox", "Messages", "Mail", "Archive", "Drafts")), "unread": rng.randint(2, 40),
        "mails": mails, "commands": source.buttons(1, 3) if rng.random() < 0.5 else [],
    }  # fmt: skip
    page = Page("mail", words, others={"row": [source.person() for _ in range(3)]})
    page.asks("number of", "How many messages are listed?|How many messages can you see?", str(len(mails)))
    if on < len(mails):
        page.asks("state", "Whose message is selected?|Which message is highlighted?", mails[on]["sender"])
    return page


def sheet(source: Source) -> Page:
    rng = source.rng
    items = source.assets.pack("tables").of(source.split)
    for _ in range(200):
        item = rng.choice(items)
        columns = Columns(item)
        named = [(label, texts) for label, texts in columns.names if max(map(len, texts)) <= 20]
        if named and columns.numbers:
            break
    else:
        return receipt(source)
    source.used.append(f"tables:{item['key']}")
    label, texts = rng.choice(named)
    shown = rng.sample(columns.numbers, min(len(columns.numbers), rng.randint(1, 3)))
    places = rng.sample(range(columns.rows), min(columns.rows, rng.randint(3, 7)))
    rows = [[texts[p], *(number(values[p]) for _, values in shown)] for p in places]
    words: dict[str, Any] = {
        "title": columns.title if rng.random() < 0.7 else source.topic(),
        "heads": [label or "name", *(head for head, _ in shown)],
        "rows": rows, "picked": rng.randrange(2 * len(rows)),
        "commands": source.buttons(1, 2) if rng.random() < 0.3 else [],
    }  # fmt: skip
    page = Page("table", words, others={"row": [text for text in texts if text not in {row[0] for row in rows}][:20]})
    page.asks("number of", "How many rows are below the head?", str(len(rows)))
    for head, values in shown:
        best = max(places, key=lambda place: values[place])
        if sum(values[p] == values[best] for p in places) == 1:
            asked = f"Which row has the largest {head}?|Whose {head} is largest?"
            page.asks("document", asked, texts[best], tuple(texts[p] for p in places))
    if words["picked"] < len(rows):
        page.asks("state", "Which row is highlighted?|Which row is selected?", rows[words["picked"]][0])
    return page


def article(source: Source) -> Page:
    rng = source.rng
    count = rng.randint(1, 3)
    places = ("first", "second", "third")
    parts = [{"head": "", "text": source.sentence(90), "ask": "Read the paragraph.|What does the text say?"}]
    if count > 1:
        parts = [
            {"head": source.topic(), "place": place, "text": source.sentence(90),
             "ask": f"Read the paragraph of the {place} section."}
            for place in places[:count]
        ]  # fmt: skip
    words: dict[str, Any] = {"title": source.topic(), "author": source.person(), "date": source.day(), "parts": parts,
             "links": source.pick("sections", rng.randint(2, 3))}  # fmt: skip
    return Page("article", words, others={"link": list(some("sections", source.split))})


def receipt(source: Source) -> Page:
    rng = source.rng
    sign = rng.choice(("$", "€", "£", ""))
    goods = source.pick("goods", rng.randint(2, 7))
    cents = [rng.randint(30, 2500) for _ in goods]
    tax = round(sum(cents) * rng.choice((0.05, 0.07, 0.1, 0.19)))
    total = sum(cents) + tax
    paid = rng.choice(("card", "cash", "voucher", "phone"))

    def money(amount: int) -> str:
        return f"{sign}{amount // 100}.{amount % 100:02d}"

    counts = [rng.choice(("", "", "", "", "1 x ", "2 x ")) for _ in goods]
    lines = [
        {"name": name, "price": money(price), "count": count}
        for name, price, count in zip(goods, cents, counts, strict=True)
    ]
    sums = [
        {"label": "Subtotal", "value": money(sum(cents)), "ask": "What is the subtotal?|How much is it before tax?"},
        {"label": "Tax", "value": money(tax), "ask": "How much is the tax?|What is the tax?"},
        {"label": "Total", "value": money(total), "ask": "What is the total?|How much is to be paid in all?"},
    ]
    words: dict[str, Any] = {
        "title": source.one("shops"), "address": f"{rng.randint(1, 99)} {source.one('streets')} Street",
        "date": source.day(), "lines": lines, "sums": sums, "paid": paid,
    }  # fmt: skip
    page = Page("receipt", words, others={"row": [item for item in some("goods", source.split) if item not in goods]})
    page.asks("number of", "How many different things were bought?|How many lines of goods are there?", str(len(goods)))
    for words_of, best in (("most", max(cents)), ("least", min(cents))):
        if cents.count(best) == 1:
            asked = f"What costs {words_of}?|Which line has the {'highest' if best == max(cents) else 'lowest'} price?"
            page.asks("document", asked, goods[cents.index(best)], tuple(goods))
    return page


def folder(source: Source) -> Page:
    rng = source.rng
    names = source.pick("nouns", rng.randint(3, 7))
    sizes = rng.sample(range(2, 990), len(names))
    on = rng.randrange(2 * len(names))
    files: list[dict[str, Any]] = [
        {"name": f"{name}.{rng.choice(('txt', 'pdf', 'png', 'mp3', 'zip', 'doc', 'csv'))}", "size": f"{size} kB",
         "date": source.day(), "symbol": rng.choice(("", "", "▪")), "on": place == on}
        for place, (name, size) in enumerate(zip(names, sizes, strict=True))
    ]  # fmt: skip
    path = "/".join(["", "home", source.one("first names").lower(), source.one("nouns")])
    words: dict[str, Any] = {
        "path": path,
        "files": files,
        "commands": source.buttons(1, 3) if rng.random() < 0.7 else [],
    }
    page = Page(
        "files", words, others={"row": [f"{item}.txt" for item in some("nouns", source.split) if item not in names]}
    )
    shown = tuple(file["name"] for file in files)
    page.asks("number of", "How many files are there?|How many files are listed?", str(len(files)))
    page.asks("document", "Which file is the largest?|What is the largest file?", shown[sizes.index(max(sizes))], shown)
    page.asks(
        "document", "Which file is the smallest?|What is the smallest file?", shown[sizes.index(min(sizes))], shown
    )
    if on < len(files):
        page.asks("state", "Which file is selected?|Which file is highlighted?", shown[on], shown)
    return page
