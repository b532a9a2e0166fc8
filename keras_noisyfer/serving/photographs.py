"""Faces in photographs: where they are, and what a model says of them."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from keras_noisyfer.arguments import check_number, describe, one_line
from keras_noisyfer.plots import plain
from keras_noisyfer.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIN_FACE = 32
# A photograph is searched at this size at most: a larger one takes longer, and
# has more patterns that are taken for faces.
SEARCHED = 1024
# Eyes that are farther from level are mistakes of the detector.
MAX_TILT = 30.0
SIDES = ("left", "top", "right", "bottom")
# A cascade changes while it searches, and is one for all threads.
_SEARCH = threading.Lock()


def find_faces(image: Image.Image) -> np.ndarray:
    """Finds faces with OpenCV's own cascade.

    It finds upright faces that look at the camera, of at least 32 pixels and
    1/32 of the photograph's longer side, and takes a pattern for a face now
    and then. FER2013's faces were cropped by it. Any function from an image
    to boxes takes its place, see `Predictor.rows`.

    Args:
        image: `PIL.Image.Image` of mode RGB.

    Returns:
        An int64 array of shape `(faces, 4)`: left, top, right and bottom of a
        square around each, in pixels; the largest face first.

    Raises:
        ValueError: if `image` is no Pillow image.
        ImportError: if OpenCV is not installed.
    """
    _check_image(image)
    gray = image.convert("L")
    scale = min(1.0, SEARCHED / max(gray.size))
    if scale < 1.0:
        gray = gray.resize([max(1, round(scale * each)) for each in gray.size])
    found = _search("frontalface_default", np.asarray(gray), 1.1, MIN_FACE)
    found = found[np.argsort(-found[:, 2], kind="stable")]
    left, top, width, height = found.T
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return np.rint(boxes / scale).astype("int64")


def crop_face(image: Image.Image, box: Sequence[int]) -> Image.Image:
    """Cuts a face out, turned so that its eyes are level.

    A face in which the cascade does not find two eyes is not turned.

    Args:
        image: `PIL.Image.Image` of mode RGB.
        box: Left, top, right and bottom.

    Returns:
        A `PIL.Image.Image` of the size of the box, black where the image does
        not reach.

    Raises:
        ValueError: if `image` is no Pillow image, or the box is wrong.
    """
    _check_image(image)
    (box,) = check_boxes("box", [box], image)
    left, top, right, bottom = (int(each) for each in box)
    width, height = right - left, bottom - top
    # With a margin for the corners that turn in.
    margin = max(width, height) // 2
    wide = image.crop(
        (left - margin, top - margin, right + margin, bottom + margin)
    )
    face = wide.crop((margin, margin, margin + width, margin + height))
    tilt = _tilt(face)
    if tilt:
        wide = wide.rotate(tilt, Image.Resampling.BICUBIC)
        face = wide.crop((margin, margin, margin + width, margin + height))
    return face


def find_eyes(image: np.ndarray) -> np.ndarray | None:
    """Finds the eyes of the largest face, as `align_faces` asks for them.

    Args:
        image: uint8 array of shape `(height, width, 3)`.

    Returns:
        A float64 array of shape `(2, 2)`: the left eye, as the viewer sees
        it, and the right eye, each `(x, y)` in pixels; None if the cascade
        finds no face, or not one eye in each half of it.

    Raises:
        ValueError: if `image` is something else.
        ImportError: if OpenCV is not installed.

    Example:

    >>> align_faces("photographs", "aligned", names, eyes=find_eyes)
    """
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[-1] != 3
    ):
        raise ValueError(
            "`image` must be a uint8 array of shape (height, width, 3). "
            f"Received: {describe(image)}"
        )
    photograph = Image.fromarray(image)
    for box in find_faces(photograph)[:1].tolist():
        eyes = _eyes(photograph.crop(box))
        if eyes is not None:
            return eyes + box[:2]
    return None


def _eyes(face):
    """The centers of the two eyes of a face, or None."""
    upper = np.asarray(face.convert("L"))[: 3 * face.height // 5]
    found = _search("eye", upper, 1.05, max(1, face.width // 8))
    centers = found[:, :2] + found[:, 2:] / 2
    is_left = centers[:, 0] < face.width / 2
    if is_left.sum() != 1 or (~is_left).sum() != 1:
        return None
    return np.concatenate([centers[is_left], centers[~is_left]])


def _tilt(face):
    """How far the line of the eyes falls to the right, in degrees."""
    eyes = _eyes(face)
    if eyes is None:
        return 0.0
    x, y = eyes[1] - eyes[0]
    tilt = float(np.degrees(np.arctan2(y, x)))
    return tilt if abs(tilt) <= MAX_TILT else 0.0


def check_boxes(
    argument: str, boxes: ArrayLike, image: Image.Image
) -> np.ndarray:
    """Boxes of faces, of shape `(faces, 4)`.

    Raises:
        ValueError: if they are none, empty, or outside the image.
    """
    try:
        array = np.asarray(boxes, "float64")
    except (TypeError, ValueError):
        array = np.zeros(1)
    if array.size == 0:
        return array.reshape(0, 4)
    right = array.ndim == 2 and array.shape[1] == 4
    if right:
        begin, end = array[:, :2], array[:, 2:]
        # Of NaN all is False.
        right = np.all(
            (end >= begin + 1) & (end > 0) & (begin < image.size)
        ) and bool(np.isfinite(array).all())
    if not right:
        raise ValueError(
            f"`{argument}` must be {', '.join(SIDES)} in pixels of the image, "
            f"of {image.width}x{image.height}. Received: {one_line(boxes)}"
        )
    return np.asarray(boxes)


def _check_image(image):
    if not isinstance(image, Image.Image):
        raise ValueError(
            f"`image` must be a PIL image. Received: {describe(image)}"
        )


def _search(name, pixels, step, smallest):
    """Left, top, width and height of what a cascade finds, int64."""
    with _SEARCH:
        found = _cascade(name).detectMultiScale(
            pixels, step, 5, minSize=(smallest, smallest)
        )
    return np.reshape(found, (-1, 4)).astype("int64")


@functools.cache
def _cascade(name):
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ImportError(
            "Finding faces needs OpenCV: pip install 'keras_noisyfer[faces]'. "
            f"Not installed: {error.name}"
        ) from error
    path = f"{getattr(cv2.data, 'haarcascades', '')}haarcascade_{name}.xml"
    cascade = cv2.CascadeClassifier(path)
    if cascade.empty():
        raise ImportError(
            "Finding faces needs OpenCV 4, which has the cascade: "
            "pip install 'keras_noisyfer[faces]'. "
            f"Installed: {cv2.__version__}"
        )
    return cascade


def plot_faces(
    image: Image.Image,
    rows: Sequence[Mapping[str, Any]],
    tasks: Mapping[str, Mapping[str, Sequence[str]]],
    most: int = 6,
) -> Figure:
    """A photograph with its faces, and what a model says of each.

    Args:
        image: `PIL.Image.Image` of mode RGB.
        rows: The dicts of `Predictor.rows` of this photograph, with boxes.
        tasks: `Predictor.tasks`.
        most: Number of faces whose predictions are drawn, the first ones; all
            have a box.

    Returns:
        A `matplotlib.figure.Figure`: on the left the photograph with numbered
        boxes, right of it a line of panels a face, with bars of the classes'
        probabilities and the values as a point, or as bars.

    Raises:
        ValueError: if a row has no box, or `most` is below 0.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    _check_image(image)
    check_number("most", most, minimum=0, integer=True)
    if not all(set(SIDES) <= set(row) for row in rows):
        raise ValueError(
            f"`rows` must be of faces, with {', '.join(SIDES)}. "
            f"Received: {describe(rows)}"
        )
    drawn = rows[:most]
    lines, columns = max(1, len(drawn)), 1 + len(tasks)
    figure = Figure(
        figsize=(4 + 2.6 * (columns - 1), max(4, 2.4 * lines)),
        layout="constrained",
    )
    grid = figure.add_gridspec(
        lines, columns, width_ratios=[1.6] + [1] * (columns - 1)
    )
    panel = figure.add_subplot(grid[:, 0])
    panel.imshow(image)
    panel.set_axis_off()
    for number, row in enumerate(rows, start=1):
        corner = row["left"], row["top"]
        size = row["right"] - row["left"], row["bottom"] - row["top"]
        panel.add_patch(
            Rectangle(corner, *size, fill=False, edgecolor="C1", linewidth=2)
        )
        panel.text(
            *corner, number, color="white", backgroundcolor="C1", va="bottom"
        )
    for line, row in enumerate(drawn):
        for column, (task, names) in enumerate(tasks.items(), start=1):
            panel = figure.add_subplot(grid[line, column])
            panel.set_title(plain(f"{line + 1}: {task}"), fontsize=9)
            labels = names.get("classes") or names["dimensions"]
            values = [row[f"{task}_{name}"] for name in labels]
            if "classes" in names:
                draw_bars(panel, labels, values, (0, 1))
            else:
                draw_values(panel, labels, values)
    return figure


def draw_values(
    panel: Any, dimensions: Sequence[str], values: Sequence[float]
) -> None:
    """Draws two values in [-1, 1] as a point on a plane, others as bars.

    Args:
        panel: The `matplotlib.axes.Axes` to draw them in.
        dimensions: Their names.
        values: The values.
    """
    if len(dimensions) != 2:
        draw_bars(panel, dimensions, values, (-1, 1))
        return
    panel.plot(*values, "o", markersize=8)
    panel.set(
        xlim=(-1, 1),
        ylim=(-1, 1),
        xlabel=plain(dimensions[0]),
        ylabel=plain(dimensions[1]),
        aspect="equal",
    )
    panel.axhline(0, color="gray", linewidth=0.8)
    panel.axvline(0, color="gray", linewidth=0.8)
    panel.grid(alpha=0.3)


def draw_bars(
    panel: Any,
    names: Sequence[str],
    values: Sequence[float],
    limits: tuple[float, float],
) -> None:
    """Draws a bar a name, the first at the top."""
    panel.barh(range(len(values)), values, tick_label=[*map(plain, names)])
    panel.invert_yaxis()
    panel.set(xlim=limits)
    panel.tick_params(labelsize=8)
