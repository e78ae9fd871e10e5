"""Draw the pictures and the clip of this folder, and those of them that the served page offers: `make media`.

They look like what nano was trained on, but each is placed and coloured by hand here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import av
from PIL import Image

from pixelword.synthetic.drawing import render
from pixelword.synthetic.scenes import BACKGROUNDS, COLOURS, RGB, Background, Scene, Thing

HERE = Path(__file__).parent
PAGE = HERE.parent / "src" / "pixelword" / "serving" / "static" / "examples"
FRAMES, FRAMES_PER_SECOND = 4, 1


def scene(*things: Thing, size: tuple[int, int] = (96, 96), ground: RGB = BACKGROUNDS[2]) -> Scene:
    return Scene(*size, Background(ground, ground), things)


def thing(colour: str, shape: str, x: int, y: int, size: int = 28) -> Thing:
    """One thing by its upper left corner; its cell only matters to questions, which nobody draws here."""
    return Thing(colour, shape, 4, x, y, size, COLOURS[colour])


PICTURES = {
    "red_circle.png": scene(thing("red", "circle", 22, 20, 54)),
    "three_squares.png": scene(
        thing("blue", "square", 2, 4), thing("blue", "square", 66, 34), thing("blue", "square", 34, 66)
    ),
    "left_right.png": scene(thing("yellow", "star", 2, 34), thing("purple", "heart", 66, 35), ground=BACKGROUNDS[3]),
    "green_triangle.png": scene(thing("green", "triangle", 34, 35), ground=BACKGROUNDS[1]),
    "blue_star.png": scene(thing("blue", "star", 33, 3), ground=BACKGROUNDS[1]),
}


def moving_right() -> list[Image.Image]:
    """A red circle that crosses the picture from the left to the right."""
    steps = range(0, 64 - 20 + 1, (64 - 20) // (FRAMES - 1))
    return [render(scene(thing("red", "circle", x, 22, 20), size=(64, 64), ground=BACKGROUNDS[1])) for x in steps]


def write_clip(path: Path, frames: list[Image.Image]) -> None:
    """H.264 at a quality where small shapes keep their edges, in the one pixel format that every player shows."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "4", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())


def main() -> None:
    for name, picture in PICTURES.items():
        render(picture).save(HERE / name, optimize=True)
    write_clip(HERE / "moving_right.mp4", moving_right())
    for copy in PAGE.iterdir():
        shutil.copyfile(HERE / copy.name, copy)


if __name__ == "__main__":
    main()
