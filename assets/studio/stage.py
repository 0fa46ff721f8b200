"""The stage in Blender: things put on it, light, a camera, and the rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from assets.studio.kinds import KINDS
from assets.studio.materials import of_product
from assets.studio.meshes import Mesh
from assets.studio.products import Product
from assets.studio.takes import Take


def clear(size: int, samples: int) -> None:
    """Begin an empty scene with the settings all pictures share."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.render.image_settings.compression = 10
    scene.view_settings.view_transform = "Standard"
    cycles = scene.cycles
    cycles.samples, cycles.seed = samples, 1
    cycles.use_adaptive_sampling = False
    cycles.use_denoising, cycles.denoiser = True, "OPENIMAGEDENOISE"
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 6, 2, 3
    cycles.transmission_bounces, cycles.transparent_max_bounces = 6, 6
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.film_transparent_glass = True
    cycles.denoising_quality, cycles.denoising_prefilter = "FAST", "NONE"


def put(mesh: Mesh, material: Any) -> Any:
    """Put a mesh on the stage."""
    data = bpy.data.meshes.new("part")
    data.from_pydata(mesh.vertices.tolist(), [], mesh.faces)
    layer = data.uv_layers.new(name="UVMap")
    corners = np.array([each for face in mesh.faces for each in face])
    layer.data.foreach_set("uv", mesh.uv[corners].astype(np.float32).ravel())
    data.polygons.foreach_set("use_smooth", [mesh.smooth] * len(data.polygons))
    data.validate()
    if material is not None:
        data.materials.append(material)
    made = bpy.data.objects.new("part", data)
    bpy.context.scene.collection.objects.link(made)
    if mesh.solid:
        thick = made.modifiers.new("solid", "SOLIDIFY")
        thick.thickness, thick.offset = mesh.solid, 0.0
    if mesh.bevel:
        edge = made.modifiers.new("bevel", "BEVEL")
        edge.width, edge.segments, edge.limit_method = mesh.bevel, 3, "ANGLE"
        edge.harden_normals = True
        data.polygons.foreach_set("use_smooth", [True] * len(data.polygons))
    return made


def stand(
    product: Product, scale: float | None = None, at: tuple[float, float] = (0, 0), turn: float = 0
) -> np.ndarray:
    """Put a product on the stage, standing on z = 0; returns its vertices (n, 3) in metres."""
    model = product.model()
    points = model.points()
    extent = extent_of(points)
    materials = of_product(product, extent)
    size = scale or product.scale
    low = points[:, 2].min() if KINDS[product.kind].place != "hanging" else 0.0
    matrix = (
        Matrix.Translation((*at, -low * size))
        @ Matrix.Rotation(np.radians(turn), 4, "Z")
        @ Matrix.Scale(size, 4)
    )
    for mesh, material in model.parts:
        put(mesh, materials[material]).matrix_world = matrix
    moved = np.c_[points, np.ones(len(points))] @ np.array(matrix).T
    standing: np.ndarray = moved[:, :3]
    return standing


def extent_of(points: np.ndarray) -> float:
    """Return the longest side of the box around points (n, 3)."""
    return float((points.max(axis=0) - points.min(axis=0)).max())


def aim(points: np.ndarray, take: Take) -> None:
    """Set up the camera so that the points fill as much of the frame as asked."""
    a, e = np.radians(take.azimuth), np.radians(take.elevation)
    out = np.array([np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e)])
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    turn = Vector(-out).to_track_quat("-Z", "Y").to_matrix() @ Matrix.Rotation(
        np.radians(take.roll), 3, "Z"
    )
    view = np.array(turn).T
    reach = np.tan(np.radians(take.field) / 2)
    thin = points[:: max(1, len(points) // 4000)]
    distance = 3 * extent_of(points)
    for _ in range(6):
        seen = (thin - middle - out * distance) @ view.T
        flat = seen[:, :2] / -seen[:, 2:] / reach / 2  # the frame is -0.5 to 0.5
        span = (flat.max(axis=0) - flat.min(axis=0)).max()
        distance = max(distance * span / take.fill, 0.6 * extent_of(points))
    seen = (thin - middle - out * distance) @ view.T
    flat = seen[:, :2] / -seen[:, 2:] / reach / 2
    centre = (flat.max(axis=0) + flat.min(axis=0)) / 2
    made = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    made.data.angle = np.radians(take.field)
    made.data.clip_start, made.data.clip_end = distance / 100, distance * 100
    made.data.shift_x, made.data.shift_y = centre[0] - take.shift[0], centre[1] - take.shift[1]
    made.matrix_world = Matrix.Translation(Vector(middle + out * distance)) @ turn.to_4x4()
    bpy.context.scene.collection.objects.link(made)
    bpy.context.scene.camera = made


def set_world(colour: tuple[float, float, float], strength: float) -> Any:
    """Light everything evenly from all around."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.cycles.sampling_method, world.cycles.sample_map_resolution = "MANUAL", 256
    back = world.node_tree.nodes["Background"]
    back.inputs[0].default_value = (*colour, 1.0)
    back.inputs[1].default_value = strength
    return world


def add_area(
    at: np.ndarray,
    target: np.ndarray,
    power: float,
    side: float,
    colour: tuple[float, ...] = (1, 1, 1),
) -> None:
    data = bpy.data.lights.new("area", "AREA")
    data.energy, data.size, data.color = power, side, colour
    made = bpy.data.objects.new("area", data)
    made.location = at
    made.rotation_euler = Vector(target - at).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.collection.objects.link(made)


def render(path: Path) -> None:
    """Write the picture."""
    bpy.context.scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
