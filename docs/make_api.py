"""Writes docs/api.md, the reference of the public Python names, from their signatures and docstrings.

python docs/make_api.py            # writes it
python docs/make_api.py --check    # fails where it is out of date
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("api.md")
#: Section -> (module, names); methods are those that the class itself defines.
SECTIONS = {
    "Sessions": ("pixelword", ("load", "Session", "Answer", "Chat")),
    "How media are read": (
        "pixelword.processing",
        ("MediaOptions", "Encoded", "ImageSpan", "load_image", "load_video"),
    ),
    "Long inputs": ("pixelword.generation.long_context", ("LongInputs",)),
    "Generation": ("pixelword.generation.sampling", ("Sampling",)),
    "Structured output": ("pixelword.generation.structured_outputs", ("StructuredOutputs",)),
    "The engine": ("pixelword.generation.engine", ("Engine",)),
    "Requests": ("pixelword.generation.request", ("BatchingOptions", "Request", "Token", "Usage")),
    "Explaining": ("pixelword", ("look_inside",)),
    "transformers classes": (
        "pixelword",
        ("NeoOVConfig", "NeoOVModel", "NeoOVForConditionalGeneration", "NeoOVProcessor", "register", "unregister"),
    ),
}
#: transformers' own classes have hundreds of inherited names and signatures of its own: these methods are listed.
METHODS = {
    "NeoOVConfig": (),
    "NeoOVModel": ("forward",),
    "NeoOVForConditionalGeneration": ("forward",),
    "NeoOVProcessor": ("__call__", "encode", "image_tokens"),
}
HEAD = """# Python API

Made by `python docs/make_api.py` from the docstrings; a test keeps it current. The names of `pixelword` itself are
stable; those of its modules may move between releases, with an alias for one.
"""


def document() -> str:
    parts = [HEAD]
    for title, (module, names) in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts += entry(f"{module}.{name}", getattr(importlib.import_module(module), name))
    return "\n".join(parts).rstrip() + "\n"


def entry(path: str, value: Any) -> Iterator[str]:
    name = path.rpartition(".")[2]
    yield f"### `{path}`\n"
    yield f"```python\n{signature(name, value)}\n```\n"
    yield f"{prose(value)}\n"
    if inspect.isclass(value):
        for method in METHODS.get(name, public_methods(value)):
            member = inspect.getattr_static(value, method)
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not inspect.getdoc(function):
                continue
            call = f"{name}.{method}" if isinstance(member, property) else signature(f"{name}.{method}", function)
            yield f"#### `{name}.{method}`\n"
            yield f"```python\n{call}\n```\n"
            yield f"{prose(function)}\n"


def public_methods(kind: type) -> list[str]:
    return [
        name
        for name, value in vars(kind).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod))
    ]


def signature(name: str, value: Any) -> str:
    """The call as written in the source: keywords, annotations and defaults, a line each where it is long."""
    is_class = inspect.isclass(value)
    found = inspect.signature(value.__init__ if is_class and "__init__" in vars(value) else value)
    given = [parameter for parameter in found.parameters.values() if parameter.name != "self"]
    if dataclasses.is_dataclass(value):
        shown = {field.name for field in dataclasses.fields(value) if field.init and not field.name.startswith("_")}
        given = [parameter for parameter in given if parameter.name in shown]
    words = list(listed(given))
    returns = "" if is_class or found.return_annotation is found.empty else f" -> {found.return_annotation}"
    line = f"{name}({', '.join(words)}){returns}"
    return line if len(line) <= 100 else "\n    ".join([f"{name}(", *(f"{word}," for word in words)]) + f"\n){returns}"


def listed(parameters: list[inspect.Parameter]) -> Iterator[str]:
    starred = False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = "" if parameter.annotation is parameter.empty else f": {parameter.annotation}"
        default = "..." if "factory" in repr(parameter.default) else repr(parameter.default)
        yield f"{stars}{parameter.name}{kind}" + ("" if parameter.default is parameter.empty else f" = {default}")


def prose(value: Any) -> str:
    """A Google docstring as Markdown: sections in bold, their entries as a list."""
    lines: list[str] = []
    section = False
    for line in (inspect.getdoc(value) or "").splitlines():
        if re.fullmatch(r"(Args|Returns|Raises|Attributes|Yields):", line):
            section = True
            lines += [f"**{line[:-1]}**", ""]
        elif section and (match := re.match(r" {4}(\**\w[\w ,.*|\[\]]*): (.*)", line)):
            lines.append(f"- `{match[1]}`: {match[2]}")
        else:
            section = section and (line.startswith(" ") or not line)
            lines.append(re.sub(r"^ {4,}(?=\S)", "  ", line) if section else line)
    return re.sub(r":\w+:`([^`]+)`", r"`\1`", "\n".join(lines)).replace("``", "`")


if __name__ == "__main__":
    text = document()
    if "--check" in sys.argv:
        current = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        sys.exit(0 if current else f"{PAGE} is out of date: python docs/make_api.py")
    PAGE.write_text(text, encoding="utf-8")
