"""Pictures of a point in the plane or on a line: a plot of its path so far and its goal."""

import numpy as np

from robots.signals import Array
from sim.rendering.canvas import SIZE
from sim.rendering.clip import Clip, Image

DPI = 100  # pixels per inch
LIMITS_X = (-2.7, 2.7)  # m
LIMITS_Y = (-1.5, 1.5)  # m
PATH_COLOR = "#8a8f98"
POINT_COLOR = "#d9541e"
GOAL_COLOR = "#2f7d4f"


def draw_plane(clip: Clip, times: Array) -> list[Image]:
    """Pictures at some moments (S,) s, each with the path since the episode's start."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = SIZE
    inches = (width / DPI, height / DPI)
    figure = Figure(figsize=inches, dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlim=LIMITS_X, ylim=LIMITS_Y, aspect="equal", title=clip.title)
    axes.set(xlabel="x, m", ylabel="y, m")
    axes.grid(alpha=0.25)
    (path,) = axes.plot([], [], color=PATH_COLOR, label="path")
    (point,) = axes.plot([], [], "o", color=POINT_COLOR, markersize=12, label="point")
    goal_x = clip.task.get("goal.x", 0)
    goal_y = clip.task.get("goal.y", 0)
    axes.plot(goal_x, goal_y, "x", color=GOAL_COLOR, markersize=12, label="hidden goal")
    axes.legend(loc="upper right")
    path.set_animated(True)  # drawn on a copy of all the rest, which takes long
    point.set_animated(True)
    canvas.draw()
    rest = canvas.copy_from_bbox(figure.bbox)
    images = []
    for time in times.tolist():
        before = clip.t[clip.t < time]
        so_far = clip.resample(np.append(before, time))
        positions = np.pad(so_far.q, ((0, 0), (0, 1)))  # y is 0 on a line
        now = positions[-1:]
        path.set_data(positions[:, 0], positions[:, 1])
        point.set_data(now[:, 0], now[:, 1])
        canvas.restore_region(rest)
        axes.draw_artist(path)
        axes.draw_artist(point)
        rgba = np.asarray(canvas.buffer_rgba())
        image = rgba[:height, :width, :3].copy()
        images.append(image)
    return images
