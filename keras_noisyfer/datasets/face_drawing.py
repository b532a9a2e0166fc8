"""Draws cartoon faces of given geometry, with NumPy alone."""

from collections.abc import Mapping

import numpy as np

SKIN = np.array(
    [[255, 224, 196], [241, 194, 160], [214, 158, 116], [164, 108, 72],
     [128, 82, 56]],
    "float32",
)  # fmt: skip
HAIR = np.array(
    [[28, 22, 20], [70, 42, 24], [128, 78, 38], [206, 166, 96],
     [150, 62, 30], [176, 172, 170]],
    "float32",
)  # fmt: skip
IRIS = np.array(
    [[62, 38, 22], [96, 66, 34], [74, 120, 150], [84, 128, 84]], "float32"
)

# One uniform number a face for each of these settles how it looks, its
# expression apart; the order is part of the data.
APPEARANCE = (
    "face_width jaw eye_distance eye_size eye_height nose_size mouth_size "
    "lip_size brow_weight brow_rest mouth_rest skin skin_shade hair hair_shade "
    "hair_style hairline parting iris gaze beard glasses "
    "rotation shift_x shift_y scale yaw pitch "
    "light_angle light_strength brightness contrast background_angle blur "
    "noise occluded occluder_x occluder_y occluder_width occluder_height "
    "occluder_angle lip_side shirt_red shirt_green shirt_blue "
    "near_red near_green near_blue far_red far_green far_blue "
    "occluder_red occluder_green occluder_blue"
).split()


def render_faces(
    choice: Mapping[str, np.ndarray],
    movement: Mapping[str, np.ndarray],
    noise: np.ndarray,
) -> np.ndarray:
    """Renders faces, each from back to front.

    Args:
        choice: Dict by name in `APPEARANCE` of float32 arrays in `[0, 1)`,
            shape `(count,)`.
        movement: Dict of such arrays, by how much each part of the face
            moves; 0 is a neutral face and 1 a full expression.
        noise: Float32 array, shape `(count, image_size, image_size, 3)`,
            the sensor noise, of variance 1.

    Returns:
        The images, uint8, with the shape of `noise`.
    """
    row, column = _pixel_grid(len(noise), noise.shape[1])
    # Shape `(count, 1, 1)`, to go with pixels.
    choice = {name: each[:, None, None] for name, each in choice.items()}
    movement = {name: each[:, None, None] for name, each in movement.items()}
    angle = between(choice["background_angle"], 0, 2 * np.pi)
    blend = 0.5 + 0.35 * (np.cos(angle) * column + np.sin(angle) * row)
    near, far = _colour(choice, "near"), _colour(choice, "far")
    image = near + (far - near) * blend[..., None]

    canvas = _Canvas(image, row, column, choice)
    identity = _identity(choice)
    head = _draw_head(canvas, choice, identity, movement)
    _draw_eyes(canvas, choice, identity, movement)
    _draw_nose(canvas, identity, movement)
    _draw_mouth(canvas, choice, identity, movement)
    _draw_hair(canvas, choice, identity, head)
    _draw_occluder(canvas, choice, row, column)
    return _photograph(canvas.image, choice, row, column, noise)


class _Canvas:
    """The images so far, with coordinates that move with the head.

    `x` grows to the right and `y` downward, `(0, 0)` is the middle of the
    head and `y = 1` its chin. `side` is `abs(x)` in coordinates turned by the
    yaw, so that one stroke draws both eyes.
    """

    def __init__(self, image, row, column, choice):
        self.image = image
        angle = between(choice["rotation"], -12, 12) * np.pi / 180
        scale = between(choice["scale"], 0.78, 0.92)
        column = column - between(choice["shift_x"], -0.06, 0.06)
        row = row - between(choice["shift_y"], 0.04, 0.14)
        self.x = (np.cos(angle) * column + np.sin(angle) * row) / scale
        self.y = (np.cos(angle) * row - np.sin(angle) * column) / scale
        yaw = between(choice["yaw"], -0.1, 0.1)
        turned = self.x - yaw
        # The half of the face that turns away looks narrower.
        self.face_x = turned * (1 + 1.2 * yaw * np.tanh(4 * turned))
        self.face_y = self.y - between(choice["pitch"], -0.03, 0.03)
        self.side = np.abs(self.face_x)
        self.pixel = 2 / image.shape[1] / scale

    def cover(self, distance, softness=1.2):
        """How much of each pixel lies where `distance` is negative."""
        return np.clip(0.5 - distance / (softness * self.pixel), 0, 1)

    def paint(self, cover, colour):
        self.image += cover[..., None] * (colour - self.image)


def _identity(choice):
    """Proportions and colours of a person's face."""
    skin = pick(choice["skin"], SKIN)
    skin = skin * between(choice["skin_shade"], 0.88, 1.05)[..., None]
    hair = pick(choice["hair"], HAIR)
    hair = hair * between(choice["hair_shade"], 0.8, 1.15)[..., None]
    lips = skin * np.array([0.86, 0.56, 0.56], "float32")
    spans = {
        "face_width": (0.78, 0.9),
        "jaw": (0.08, 0.25),
        "eye_distance": (0.34, 0.4),
        "eye_size": (0.21, 0.25),
        "eye_height": (-0.14, -0.04),
        "nose_size": (0.8, 1.3),
        "mouth_size": (0.35, 0.42),
        "lip_size": (0.035, 0.075),
        "brow_weight": (0.045, 0.07),
        "brow_rest": (-0.03, 0.03),
        "mouth_rest": (0.5, 0.58),
    }
    identity = {name: between(choice[name], *s) for name, s in spans.items()}
    line = skin * 0.4
    # Brows stay darker than the skin, or blond people would have none.
    brows = np.minimum(hair, line)
    colours = {"skin": skin, "hair": hair, "lips": lips}
    return {**identity, **colours, "line": line, "brows": brows}


def _draw_head(canvas, choice, identity, movement):
    x, y, style = canvas.x, canvas.y, choice["hair_style"]
    skin, width = identity["skin"], identity["face_width"]
    # Hair behind the head: close to it, big and curly, or long; the rest of
    # the styles have none.
    volume = np.where(style < 0.2, 1.2, np.where(style < 0.85, 1.06, 0.9))
    back = _ellipse(x, y + 0.2, volume * (width + 0.05), volume * 0.86)
    long = np.maximum(np.abs(x) - width - 0.12 - 0.08 * y, -y - 0.2)
    back = np.where((style > 0.2) & (style < 0.5), np.minimum(back, long), back)
    canvas.paint(canvas.cover(back), identity["hair"] * 0.85)

    neck = np.maximum(np.abs(x) - 0.36, 0.4 - y)
    canvas.paint(canvas.cover(neck), skin * 0.8)
    shirt = 1.12 + 0.16 * x * x - y
    canvas.paint(canvas.cover(shirt), _colour(choice, "shirt"))
    ear = _ellipse(np.abs(x) - width, y - 0.02, 0.11, 0.19)
    canvas.paint(canvas.cover(ear), skin * 0.9)

    # An open mouth drops the chin.
    chin = 1 + 0.1 * np.clip(movement["mouth_open"], 0, 1)
    narrowing = 1 - identity["jaw"] * np.clip(y, 0, 1) ** 2
    below = np.where(y > 0, chin, 1.0)
    head = _ellipse(x / narrowing, y / below, width, 1.0)
    shade = 1 - 0.22 * np.clip(1 + 2.2 * head, 0, 1) ** 2
    head_cover = canvas.cover(head)
    canvas.paint(head_cover, skin * shade[..., None])

    beard = np.clip(choice["beard"] * 4 - 3, 0, 1)
    bearded = np.where(beard > 0, 0.35 + 0.45 * beard, 0)
    edge = 0.36 - 0.55 * canvas.face_x**2 - canvas.face_y
    cover = canvas.cover(edge, 5) * head_cover * bearded
    canvas.paint(cover, identity["hair"])
    return head


def _draw_eyes(canvas, choice, identity, movement):
    side, y = canvas.side, canvas.face_y
    half = identity["eye_size"]
    across = (side - identity["eye_distance"]) / half
    profile = np.clip(1 - across**2, 0, 1)
    inner_raise = movement["brow_slope"]
    # Sad and fearful lids slant down to the outside, angry ones to the inside.
    middle = identity["eye_height"] + 0.025 * inner_raise * across

    opening = np.clip(1 + movement["eye_open"], 0.25, 2)
    lid = np.clip(movement["lower_lid"], -0.1, 0.8)
    upper = middle - 0.62 * half * opening * profile
    lower = middle + (0.55 - 0.4 * lid) * half * opening**0.5 * profile
    ends = (np.abs(across) - 1) * half
    eye = np.maximum(np.maximum(upper - y, y - lower), ends)
    inside = canvas.cover(eye)
    canvas.paint(inside, np.float32([250, 248, 244]))

    gaze = between(choice["gaze"], -0.25, 0.25) * half
    centre = side - identity["eye_distance"] - gaze * np.sign(canvas.face_x)
    radius = np.hypot(centre, y - identity["eye_height"] + 0.01)
    iris = pick(choice["iris"], IRIS)
    canvas.paint(inside * canvas.cover(radius - 0.55 * half), iris)
    canvas.paint(inside * canvas.cover(radius - 0.27 * half), np.float32(15))
    glint = np.hypot(centre + 0.2 * half, y - identity["eye_height"] + 0.05)
    canvas.paint(inside * canvas.cover(glint - 0.14 * half), np.float32(255))

    lash = np.maximum(np.abs(y - upper) - 0.026, ends)
    canvas.paint(canvas.cover(lash), identity["line"] * 0.6)
    crease = np.maximum(np.abs(y - lower) - 0.01, ends)
    canvas.paint(0.6 * canvas.cover(crease), identity["line"])

    along = (side - identity["eye_distance"] - 0.01) / 0.25
    height = identity["eye_height"] - 0.32 + identity["brow_rest"]
    brow = height - 0.16 * movement["brow_raise"]
    brow = brow + 0.15 * inner_raise * along - 0.05 * (1 - along**2)
    weight = identity["brow_weight"] * (1 - 0.3 * along)
    ends = (np.abs(along) - 1) * 0.25
    cover = canvas.cover(np.maximum(np.abs(y - brow) - weight, ends))
    canvas.paint(0.95 * cover, identity["brows"])

    rim = np.hypot(side - identity["eye_distance"], y + 0.06) - half - 0.07
    bridge = np.maximum(np.abs(y + 0.1) - 0.02, side - 0.12)
    rim = np.minimum(np.abs(rim) - 0.022, bridge)
    worn = choice["glasses"] > 0.85
    canvas.paint(worn * canvas.cover(rim), np.float32([40, 36, 44]))


def _draw_nose(canvas, identity, movement):
    side, y, line = canvas.side, canvas.face_y, identity["line"]
    size = identity["nose_size"]
    wrinkle = np.clip(movement["nose_wrinkle"], 0, 1)
    tip = 0.27 - 0.05 * wrinkle
    ridge = np.maximum(side - 0.09 * size * (y + 0.3), np.abs(y - 0.05) - 0.26)
    canvas.paint(0.2 * canvas.cover(ridge, 3), line)
    ball = _ellipse(side, y - tip + 0.03, 0.11 * size, 0.08 * size)
    canvas.paint(0.5 * canvas.cover(ball, 2), identity["skin"] * 1.04)
    nostril = _ellipse(side - 0.075 * size, y - tip, 0.05 * size, 0.028)
    canvas.paint(0.75 * canvas.cover(nostril), line)

    # Wrinkles beside the bridge, and the fold from nose to mouth corner.
    fan = np.abs((y + 0.04 - 0.7 * side) % 0.11 - 0.055) - 0.018
    fan = np.maximum(fan, np.abs(side - 0.09) - 0.07)
    fan = np.maximum(fan, np.abs(y) - 0.13)
    canvas.paint(0.75 * wrinkle * canvas.cover(fan), line)
    fold = np.abs(side - 0.2 - 0.5 * (y - 0.22)) - 0.014
    fold = np.maximum(fold, np.abs(y - 0.36) - 0.14)
    smile = np.clip(movement["smile"], 0, 1)
    depth = np.clip(0.12 + 0.35 * smile + 0.5 * wrinkle, 0, 0.8)
    canvas.paint(depth * canvas.cover(fold), line)


def _draw_mouth(canvas, choice, identity, movement):
    x, y = canvas.face_x, canvas.face_y
    opened = np.clip(movement["mouth_open"], 0, 1.2)
    raised = np.clip(movement["upper_lip"], 0, 1.2)
    press = np.clip(movement["lip_press"], 0, 1)
    square = np.clip(movement["mouth_square"], 0, 1)

    half = identity["mouth_size"] * (1 + movement["mouth_width"])
    across = np.clip(x / half, -1, 1)
    round_, boxy = 1 - across**2, 1 - across**6
    profile = round_ + square * (boxy - round_)
    bend = 0.02 + 0.2 * movement["smile"]
    middle = identity["mouth_rest"] - bend * (across**2 - 0.4)
    # Disgust lifts the upper lip on one side more than on the other.
    lopsided = np.where(choice["lip_side"] < 0.5, -1, 1).astype("float32")
    lift = 0.16 * raised * (1 + 0.6 * across * lopsided)
    upper = middle - (0.13 * opened + lift) * profile
    lower = middle + (0.26 * opened + 0.02 * raised) * profile

    lip = identity["lip_size"] * (1 - 0.7 * press)
    ends = np.abs(x) - half
    top = upper - lip * profile - y
    bottom = y - lower - 1.4 * lip * profile
    lips = np.maximum(np.maximum(top, bottom) - 0.01, ends)
    canvas.paint(canvas.cover(lips), identity["lips"])
    mouth = np.maximum(np.maximum(upper - y, y - lower) - 0.016, ends)
    inside = canvas.cover(mouth)
    canvas.paint(inside, np.float32([72, 22, 26]))
    gap = lower - upper
    tongue = canvas.cover(lower - 0.3 * gap - y) * (gap > 0.16)
    canvas.paint(0.8 * inside * tongue, np.float32([200, 86, 92]))
    teeth = canvas.cover(y - upper - 0.45 * gap) * np.clip(14 * gap - 0.5, 0, 1)
    canvas.paint(0.95 * inside * teeth, np.float32([246, 244, 236]))


def _draw_hair(canvas, choice, identity, head):
    style = choice["hair_style"]
    level = between(choice["hairline"], -0.84, -0.7)
    parting = between(choice["parting"], -0.5, 0.5)
    line = level + 0.3 * np.abs(canvas.x - parting) ** 1.5
    # A little beyond the head, or its edge would show as a seam.
    fringe = canvas.cover(np.maximum(canvas.y - line, head - 0.04))
    fringe = fringe * (style < 0.85)
    canvas.paint(fringe, identity["hair"])
    strands = np.sin(26 * (canvas.x - parting) + 6 * canvas.y)
    canvas.paint(0.2 * fringe * (strands > 0.3), identity["hair"] * 1.5 + 20)


def _draw_occluder(canvas, choice, row, column):
    angle = between(choice["occluder_angle"], 0, np.pi)
    across = column - between(choice["occluder_x"], -0.8, 0.8)
    down = row - between(choice["occluder_y"], -0.8, 0.8)
    width = between(choice["occluder_width"], 0.1, 0.4)
    height = between(choice["occluder_height"], 0.1, 0.25)
    patch = np.maximum(
        np.abs(np.cos(angle) * across + np.sin(angle) * down) - width,
        np.abs(np.cos(angle) * down - np.sin(angle) * across) - height,
    )
    present = choice["occluded"] < 0.3
    canvas.paint(present * canvas.cover(patch), _colour(choice, "occluder"))


def _photograph(image, choice, row, column, noise):
    """Light, contrast, blur and sensor noise; returns uint8."""
    angle = between(choice["light_angle"], 0, 2 * np.pi)
    strength = between(choice["light_strength"], 0, 0.3)
    light = 1 + strength * (np.cos(angle) * column + np.sin(angle) * row)
    light *= between(choice["brightness"], 0.8, 1.12)
    image = image * light[..., None]
    contrast = between(choice["contrast"], 0.75, 1.1)[..., None]
    image = 120 + contrast * (image - 120)

    spread = between(choice["blur"], 0, 0.2)[..., None]
    for axis in (1, 2):
        pad = [(1, 1) if a == axis else (0, 0) for a in range(4)]
        padded = np.pad(image, pad, mode="edge")
        before = padded.take(range(0, image.shape[axis]), axis)
        after = padded.take(range(2, image.shape[axis] + 2), axis)
        image = image + spread * (before + after - 2 * image)
    image += between(choice["noise"], 1, 9)[..., None] * noise
    return np.clip(np.rint(image), 0, 255).astype("uint8")


def _pixel_grid(count, size):
    """Row and column of the pixel centres, from -1 to 1."""
    centre = (np.arange(size, dtype="float32") + 0.5) * 2 / size - 1
    row, column = np.meshgrid(centre, centre, indexing="ij")
    return np.tile(row, (count, 1, 1)), np.tile(column, (count, 1, 1))


def _ellipse(x, y, radius_x, radius_y):
    """Approximate signed distance to an ellipse round the origin."""
    radius = np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2)
    return (radius - 1) * np.minimum(radius_x, radius_y)


def between(uniform: np.ndarray, low: float, high: float) -> np.ndarray:
    """Stretches `[0, 1)` to `[low, high)`."""
    return (low + (high - low) * uniform).astype("float32")


def pick(uniform: np.ndarray, options: np.ndarray) -> np.ndarray:
    """Picks one of the options, each as likely, for each number."""
    return options[(uniform * len(options)).astype(int)]


def _colour(choice, name):
    """A random muted colour, shape `(count, 1, 1, 3)`."""
    channels = [choice[f"{name}_{c}"] for c in ("red", "green", "blue")]
    colour = between(np.stack(channels, -1), 30, 235)
    grey = colour.mean(axis=-1, keepdims=True)
    return grey + 0.6 * (colour - grey)
