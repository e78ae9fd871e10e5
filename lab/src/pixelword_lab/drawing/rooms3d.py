"""Rooms in three dimensions, drawn without a screen by vtk: images, boxes of what is seen, and depth by construction.

A room's floor is y = 0, in metres; the camera stands at its own place and looks along `heading`, 0 towards -z and
positive to the right. Whoever draws many rooms keeps one `Renderer`, which holds the meshes it has met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from pixelword.errors import AssetError
from pixelword.extras import install_command
from pixelword.synthetic.types import Box
from pixelword_lab.drawing.meshes import RGB, Mesh

_STEP = 12  # of red between two things in an image of masks: up to 21 things
_KEPT = 300  # shapes
_FINE = 2  # images are drawn this much larger and shrunk: smooth edges on any driver


@dataclass(frozen=True)
class Placed:
    """A thing in the room. mesh: its name in the renderer. size: (width, height, depth) in metres, before turning.

    x, z: of its middle on the floor; turn: degrees around the upright axis.
    """

    mesh: str
    label: str
    size: tuple[float, float, float]
    x: float
    z: float
    turn: float

    @property
    def radius(self) -> float:
        """Of the circle around its footprint, metres."""
        return math.hypot(self.size[0], self.size[2]) / 2


@dataclass(frozen=True)
class Camera:
    """x, y, z: metres; heading and pitch: degrees (positive: right, down); view: degrees from top to bottom."""

    x: float
    y: float
    z: float
    heading: float
    pitch: float = 0.0
    view: float = 50.0

    def distance(self, thing: Placed) -> float:
        """Metres along the floor to the thing's middle."""
        return math.hypot(thing.x - self.x, thing.z - self.z)

    def sideways(self, thing: Placed) -> float:
        """Metres from where the camera looks to the thing's middle, to the right."""
        angle = math.radians(self.heading)
        return (thing.x - self.x) * math.cos(angle) + (thing.z - self.z) * math.sin(angle)

    def ahead(self, thing: Placed) -> float:
        """Metres from the camera to the thing's middle, along the view."""
        angle = math.radians(self.heading)
        return (thing.x - self.x) * math.sin(angle) - (thing.z - self.z) * math.cos(angle)


@dataclass(frozen=True)
class Room:
    """x and z of the walls (left, right, far, near), their height, and the colours of floor, walls and ceiling."""

    left: float
    right: float
    far: float
    near: float
    height: float
    floor: RGB
    floor_second: RGB
    walls: RGB
    ceiling: RGB
    tile: float
    light: float


@dataclass(frozen=True)
class View:
    """What is seen of one thing. box: in pixels of the image; share: of its own pixels, how many nothing hides."""

    box: Box
    share: float
    pixels: int


class Renderer:
    """Draws rooms. `mesh`: gives a mesh by its name; vtk's shapes of them are kept."""

    def __init__(self, mesh: Callable[[str], Mesh]) -> None:
        """Raises AssetError when vtk is missing."""
        try:
            import vtk
        except ImportError as error:
            raise AssetError(f"rooms are drawn with vtk: {install_command('tasks', of='pixelword-lab')}") from error
        vtk.vtkObject.GlobalWarningDisplayOff()  # it looks for a screen first, and says that there is none
        vtk.vtkLogger.SetStderrVerbosity(vtk.vtkLogger.VERBOSITY_OFF)
        self.vtk = vtk
        self.mesh = mesh
        self._shapes: dict[str, Any] = {}
        self._window: Any = None

    def draw(self, room: Room, things: Sequence[Placed], camera: Camera, size: tuple[int, int]) -> Image.Image:
        """The image, RGB of (width, height)."""
        scene = self._scene(room.walls)
        actors = [self._actor(thing) for thing in things]
        for actor in [*self._shell(room), *actors]:
            scene.AddActor(actor)
        self._lights(scene, room)
        pixels = self._shoot(scene, camera, size, _FINE)
        return Image.fromarray(pixels).resize(size, Image.Resampling.BOX)

    def views(
        self, things: Sequence[Placed], camera: Camera, size: tuple[int, int], *, shares: bool = True
    ) -> list[View | None]:
        """What is seen of each thing, None for what is not seen at all; walls hide nothing, they stand around.

        shares: find out how much of each is hidden, which takes an image for each; else every `share` is 1.
        """
        scene = self._scene((0, 0, 0))
        actors = [self._actor(thing) for thing in things]
        for number, actor in enumerate(actors, start=1):
            actor.GetMapper().ScalarVisibilityOff()
            look = actor.GetProperty()
            look.LightingOff()
            look.SetColor(number * _STEP / 255, 0, 0)
            look.SetAmbient(1)  # without light a colour is still multiplied by its parts
            look.SetDiffuse(0)
            scene.AddActor(actor)
        together = self._shoot(scene, camera, size, 1)[:, :, 0]
        seen: list[View | None] = []
        for number, actor in enumerate(actors, start=1):
            mine = np.rint(together / _STEP) == number
            if not mine.any():
                seen.append(None)
                continue
            share = 1.0
            if shares:
                for other in actors:
                    other.SetVisibility(other is actor)
                whole = int((self._shoot(scene, camera, size, 1)[:, :, 0] > 0).sum())
                share = float(mine.sum() / max(whole, 1))
            rows, columns = np.flatnonzero(mine.any(axis=1)), np.flatnonzero(mine.any(axis=0))
            box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
            seen.append(View(box, share, int(mine.sum())))
        return seen

    def _scene(self, colour: RGB) -> Any:
        scene = self.vtk.vtkRenderer()
        scene.SetBackground(*(part / 255 for part in colour))
        scene.AutomaticLightCreationOff()
        return scene

    def _actor(self, thing: Placed) -> Any:
        if thing.mesh not in self._shapes:
            if len(self._shapes) >= _KEPT:
                self._shapes.clear()
            self._shapes[thing.mesh] = _shape(self.vtk, self.mesh(thing.mesh))
        mapper = self.vtk.vtkPolyDataMapper()
        mapper.SetInputData(self._shapes[thing.mesh])
        actor = self.vtk.vtkActor()
        actor.SetMapper(mapper)
        actor.SetPosition(thing.x, 0, thing.z)
        actor.RotateY(thing.turn)
        look = actor.GetProperty()
        look.SetAmbient(0.35)
        look.SetDiffuse(0.75)
        look.SetSpecular(0.05)
        return actor

    def _shell(self, room: Room) -> list[Any]:
        """Floor, ceiling and walls."""
        left, right, far, near, high = room.left, room.right, room.far, room.near, room.height
        sheets: list[tuple[Mesh, float]] = [(_tiles(room), 0.5)]
        corners = {
            "far": [(left, 0, far), (right, 0, far), (right, high, far), (left, high, far)],
            "near": [(left, 0, near), (right, 0, near), (right, high, near), (left, high, near)],
            "left": [(left, 0, far), (left, 0, near), (left, high, near), (left, high, far)],
            "right": [(right, 0, far), (right, 0, near), (right, high, near), (right, high, far)],
        }
        for name, places in corners.items():
            shade = 0.5 if name in ("far", "near") else 0.42  # so that corners are seen
            sheets.append((_sheet(places, room.walls), shade))
        sheets.append((_sheet([(left, high, far), (right, high, far), (right, high, near), (left, high, near)],
                              room.ceiling), 0.6))  # fmt: skip
        actors = []
        for mesh, ambient in sheets:
            mapper = self.vtk.vtkPolyDataMapper()
            mapper.SetInputData(_shape(self.vtk, mesh))
            actor = self.vtk.vtkActor()
            actor.SetMapper(mapper)
            actor.GetProperty().SetAmbient(ambient)
            actor.GetProperty().SetDiffuse(0.5)
            actors.append(actor)
        return actors

    def _lights(self, scene: Any, room: Room) -> None:
        """A lamp under the ceiling and a weaker one behind the camera."""
        for place, strength in (((room.light, room.height - 0.2, (room.far + room.near) / 2), 0.75),
                                ((room.light, room.height * 0.8, room.near), 0.35)):  # fmt: skip
            lamp = self.vtk.vtkLight()
            lamp.SetPositional(True)
            lamp.SetConeAngle(180)
            lamp.SetPosition(*place)
            lamp.SetIntensity(strength)
            scene.AddLight(lamp)

    def _shoot(self, scene: Any, camera: Camera, size: tuple[int, int], fine: int) -> np.ndarray:
        """(height, width, 3) uint8 of the scene, `fine` times larger than `size`."""
        from vtk.util.numpy_support import vtk_to_numpy

        if self._window is None:
            self._window = self.vtk.vtkRenderWindow()
            self._window.SetOffScreenRendering(1)
            self._window.SetMultiSamples(0)
        window = self._window
        window.SetSize(size[0] * fine, size[1] * fine)
        window.AddRenderer(scene)
        turn, tilt = math.radians(camera.heading), math.radians(camera.pitch)
        lens = scene.GetActiveCamera()
        lens.SetPosition(camera.x, camera.y, camera.z)
        lens.SetFocalPoint(camera.x + math.sin(turn) * math.cos(tilt), camera.y - math.sin(tilt),
                           camera.z - math.cos(turn) * math.cos(tilt))  # fmt: skip
        lens.SetViewUp(0, 1, 0)
        lens.SetViewAngle(camera.view)
        lens.SetClippingRange(0.05, 60)
        window.Render()
        grabbed = self.vtk.vtkWindowToImageFilter()
        grabbed.SetInput(window)
        grabbed.ReadFrontBufferOff()
        grabbed.ShouldRerenderOff()
        grabbed.Update()
        window.RemoveRenderer(scene)
        content = vtk_to_numpy(grabbed.GetOutput().GetPointData().GetScalars())
        return content.reshape(size[1] * fine, size[0] * fine, 3)[::-1].copy()


def _shape(vtk: Any, mesh: Mesh) -> Any:
    """vtk's form of a mesh, with normals that are smooth but at edges."""
    from vtk.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray

    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.points), deep=True))
    polygons = vtk.vtkCellArray()
    polygons.SetData(3, numpy_to_vtkIdTypeArray(np.ascontiguousarray(mesh.faces, np.int64).ravel(), deep=True))
    shape = vtk.vtkPolyData()
    shape.SetPoints(points)
    shape.SetPolys(polygons)
    shape.GetCellData().SetScalars(numpy_to_vtk(np.ascontiguousarray(mesh.colours), deep=True))
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputData(shape)
    normals.SetFeatureAngle(40)
    normals.SplittingOn()
    normals.ConsistencyOff()
    normals.Update()
    return normals.GetOutput()


def _sheet(corners: Sequence[tuple[float, float, float]], colour: RGB, steps: int = 8) -> Mesh:
    """A flat piece with four corners, in small squares so that light falls on it softly."""
    a, b, c, d = np.array(corners, np.float64)
    along = np.linspace(0, 1, steps + 1)
    u, v = (part[..., None] for part in np.meshgrid(along, along, indexing="ij"))
    points = (a * (1 - u) * (1 - v) + b * u * (1 - v) + c * u * v + d * (1 - u) * v).reshape(-1, 3)
    corner = np.arange((steps + 1) ** 2).reshape(steps + 1, steps + 1)
    quads = [part.ravel() for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:])]
    faces = np.concatenate([np.stack([quads[0], quads[1], quads[2]], 1), np.stack([quads[0], quads[2], quads[3]], 1)])
    return Mesh(points.astype(np.float32), faces.astype(np.int32), np.tile(np.array(colour, np.uint8), (len(faces), 1)))


def _tiles(room: Room) -> Mesh:
    """The floor, in tiles of two colours, which let depth be seen."""
    across = max(1, round((room.right - room.left) / room.tile))
    along = max(1, round((room.near - room.far) / room.tile))
    xs, zs = np.linspace(room.left, room.right, across + 1), np.linspace(room.far, room.near, along + 1)
    points = np.array([(x, 0, z) for x in xs for z in zs], np.float32)
    faces, colours = [], []
    for i in range(across):
        for j in range(along):
            a, b = i * (along + 1) + j, (i + 1) * (along + 1) + j
            faces += [(a, b, b + 1), (a, b + 1, a + 1)]
            colours += [room.floor if (i + j) % 2 else room.floor_second] * 2
    return Mesh(points, np.array(faces, np.int32), np.array(colours, np.uint8))
