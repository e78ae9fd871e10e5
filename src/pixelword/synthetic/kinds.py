"""The kinds of drawn tasks, by name; imports nothing, so that a recipe is checked at once."""

#: Kinds whose texts are drawn, in training, with the packs `fonts` and `words`.
READING: tuple[str, ...] = ("glyph", "read", "line", "nth", "find")
KINDS: tuple[str, ...] = (
    "colour", "shape", "count", "where", "what", "yesno", "describe", "digits", "letters", "pair", "motion", "text",
    "changed", "order", "nearer", "box",
    *READING,
)  # fmt: skip
#: What one question can be. "count" draws both "how many things?" and, of other images, "how many red circles?",
#: which is another skill: `Sample.kind` says which it was.
ASKED: tuple[str, ...] = (*KINDS[:3], "count_of", *KINDS[3:])
