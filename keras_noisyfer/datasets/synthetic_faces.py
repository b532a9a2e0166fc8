"""Faces drawn with a known expression and affect, and their TFDS builder."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_noisyfer.arguments import check_choice, check_number
from keras_noisyfer.datasets.face_drawing import (
    APPEARANCE,
    between,
    pick,
    render_faces,
)
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from keras_noisyfer.typing import PathLike

EXPRESSIONS = tuple("neutral happy sad surprise fear disgust anger".split())
SPLITS = ("train", "validation", "test")
TASKS = (
    CategoricalTask("expression", class_names=EXPRESSIONS),
    ContinuousTask("affect", dimensions=("valence", "arousal")),
)

# (valence, arousal) of each expression at full intensity, set by hand after
# its place on the circumplex.
AFFECT = np.array(
    [[0.0, 0.0], [0.85, 0.35], [-0.75, -0.4], [0.25, 0.85], [-0.45, 0.8],
     [-0.7, 0.3], [-0.55, 0.65]],
    "float32",
)  # fmt: skip
AFFECT_JITTER = 0.12
INTENSITY = (0.3, 1.0)

# How far each expression, in the order above, moves each part of the face at
# full intensity.
MOVEMENTS = {
    #                neu  hap   sad   sur   fea   dis   ang
    "smile":        (0.0, 1.0, -0.9, 0.0, -0.35, -0.6, -0.5),
    "mouth_open":   (0.0, 0.45, 0.0, 1.0, 0.5, 0.1, 0.2),
    "mouth_width":  (0.0, 0.25, -0.1, -0.4, 0.2, -0.05, 0.05),
    "mouth_square": (0.0, 0.0, 0.0, 0.0, 0.7, 0.2, 0.9),
    "upper_lip":    (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "lip_press":    (0.0, 0.2, 0.2, 0.0, 0.3, 0.1, 0.8),
    "brow_raise":   (0.0, 0.15, 0.05, 1.0, 0.7, -0.45, -0.7),
    "brow_slope":   (0.0, 0.0, 0.9, 0.0, 0.75, -0.5, -1.0),
    "eye_open":     (0.0, -0.15, -0.4, 0.8, 0.75, -0.45, 0.15),
    "lower_lid":    (0.0, 0.6, 0.0, 0.0, 0.1, 0.6, 0.35),
    "nose_wrinkle": (0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.25),
}  # fmt: skip
MOVEMENT_JITTER = 0.12

IMAGE_SIZE = 48

# One uniform number a face for each of these; the order is part of the data.
_CHOICES = (
    ["expression", "intensity", "valence", "arousal"]
    + APPEARANCE
    + [f"{movement}_jitter" for movement in MOVEMENTS]
)

# Images drawn at a time; small enough for the arrays to stay in the cache.
_RENDERED_AT_ONCE = 32
# Faces that the builder draws before it writes them.
_WRITTEN_AT_ONCE = 256


def draw_faces(
    count: int,
    seed: int,
    image_size: int = 48,
    *,
    split: str = "train",
    start: int = 0,
) -> dict[str, np.ndarray]:
    """Draws faces whose expression and affect are known without error.

    The seven expressions differ in the geometry of the mouth, brows, eyes
    and nose. Each face has an intensity, which scales that geometry from
    neutral towards the expression, and a small valence and arousal of its
    own, which bend the mouth corners and open eyes and mouth. Identity, pose,
    light, background, blur, noise and occlusion vary independently.

    Image `i` depends on `seed`, `split` and `i` alone: a small set is the
    beginning of a larger one, and splits are independent.

    Args:
        count: Number of faces.
        seed: Non-negative integer.
        image_size: Height and width in pixels, at least 16.
        split: One of `"train"`, `"validation"`, `"test"`.
        start: Index of the first face.

    Returns:
        A dict of NumPy arrays: `image`, uint8, shape
        `(count, image_size, image_size, 3)`; `expression`, int32, shape
        `(count,)`, an index into `EXPRESSIONS`; `affect`, float32, shape
        `(count, 2)`, valence and arousal in `[-1, 1]`; `intensity`, float32,
        shape `(count,)`, in `[0, 1]`, 0 for a neutral face.

    Raises:
        ValueError: An argument is outside its range.

    Example:

    >>> faces = draw_faces(1000, seed=0)
    >>> faces["image"].shape
    (1000, 48, 48, 3)

    Reference:

    - [Russell, 1980](https://doi.org/10.1037/h0077714), the circumplex model
      of affect
    """
    check_number("count", count, 0, integer=True)
    check_number("seed", seed, 0, integer=True)
    check_number("image_size", image_size, 16, integer=True)
    check_number("start", start, 0, integer=True)
    check_choice("split", split, SPLITS)
    faces = {
        "image": np.empty((count, image_size, image_size, 3), "uint8"),
        "expression": np.empty(count, "int32"),
        "affect": np.empty((count, 2), "float32"),
        "intensity": np.empty(count, "float32"),
    }
    for begin in range(0, count, _RENDERED_AT_ONCE):
        end = min(begin + _RENDERED_AT_ONCE, count)
        uniform, noise = [], []
        for index in range(start + begin, start + end):
            draw = np.random.default_rng([seed, SPLITS.index(split), index])
            uniform.append(draw.random(len(_CHOICES), "float32"))
            shape = faces["image"].shape[1:]
            noise.append(draw.standard_normal(shape, "float32"))
        noise = np.stack(noise)
        choice = dict(zip(_CHOICES, np.stack(uniform, 1), strict=True))
        labels, movement = _choose_labels(choice)
        for name, values in labels.items():
            faces[name][begin:end] = values
        faces["image"][begin:end] = render_faces(choice, movement, noise)
    return faces


def _choose_labels(choice):
    """The clean labels, and the movements that show them."""
    expression = pick(choice["expression"], np.arange(len(EXPRESSIONS)))
    intensity = between(choice["intensity"], *INTENSITY)
    intensity = np.where(expression == 0, 0, intensity).astype("float32")

    centre = AFFECT[expression] * intensity[:, None]
    jitter = np.stack([choice["valence"], choice["arousal"]], axis=-1)
    affect = np.clip(centre + AFFECT_JITTER * (2 * jitter - 1), -1, 1)
    labels = {
        "expression": expression,
        "affect": affect,
        "intensity": intensity,
    }

    movement = {
        name: np.array(amounts, "float32")[expression] * intensity
        + MOVEMENT_JITTER * (2 * choice[f"{name}_jitter"] - 1)
        for name, amounts in MOVEMENTS.items()
    }
    # What the clipping left of the jitter is what the face shows.
    valence, arousal = (affect - centre).T
    movement["smile"] += 1.2 * valence
    movement["eye_open"] += 1.2 * arousal
    movement["mouth_open"] += 0.6 * arousal
    return labels, movement


@dataclasses.dataclass(eq=False, kw_only=True)
class SyntheticFacesConfig(tfds.core.BuilderConfig):
    """Sizes and seed of a `SyntheticFaces` data set.

    The name is made from them: TFDS keeps prepared files in a folder of that
    name, so two configurations never share files.

    Args:
        train_size: Number of training faces, at least 1.
        validation_size: Number of validation faces; with 0 there is no such
            split.
        test_size: Number of test faces, at least 1.
        seed: Non-negative integer.

    Raises:
        ValueError: A size or the seed is out of range, or a `name` is given
            that is not the one above.

    Example:

    >>> SyntheticFacesConfig(train_size=500, test_size=100).name
    'train500_validation0_test100_seed0'
    """

    name: str | None = None
    train_size: int = 2000
    validation_size: int = 0
    test_size: int = 1000
    seed: int = 0

    def __post_init__(self):
        minimums = {"train_size": 1, "validation_size": 0, "test_size": 1}
        for argument, least in {**minimums, "seed": 0}.items():
            check_number(argument, getattr(self, argument), least, integer=True)
        name = (
            f"train{self.train_size}_validation{self.validation_size}"
            f"_test{self.test_size}_seed{self.seed}"
        )
        if self.name not in (None, name):
            raise ValueError(
                f"`name` must be left out or be {name!r}. "
                f"Received: {self.name!r}"
            )
        self.name = name

    @property
    def sizes(self) -> dict[str, int]:
        """Number of faces by split name, empty splits left out."""
        sizes = (self.train_size, self.validation_size, self.test_size)
        return {s: n for s, n in zip(SPLITS, sizes, strict=True) if n}


class SyntheticFaces(tfds.core.GeneratorBasedBuilder):
    """Drawn faces with clean expression and affect labels, of any size.

    Nothing is downloaded: `download_and_prepare()` draws the faces with
    `draw_faces`, and a split keeps their order. An example holds `image`,
    uint8, shape `(48, 48, 3)`; `expression`, a class label with the names
    `EXPRESSIONS`; `affect`, float32, shape `(2,)`, valence and arousal in
    `[-1, 1]`; `intensity`, a float32 number in `[0, 1]`, 0 for a neutral
    face.

    Args:
        config: A `SyntheticFacesConfig`, by default of 2,000 training and
            1,000 test faces.
        data_dir: Folder of the prepared files.

    Example:

    ```python
    config = SyntheticFacesConfig(train_size=500, test_size=100, seed=1)
    builder = SyntheticFaces(config=config, data_dir="data")
    builder.download_and_prepare()
    train = builder.as_dataset(split="train")
    ```
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    BUILDER_CONFIGS = [SyntheticFacesConfig()]
    # Or TFDS looks for download checksums beside the code, which takes a
    # package that it does not declare (tensorflow/datasets#11212).
    code_path = None

    def __init__(self, *, config: Any = None, **options: Any):
        # TFDS refuses another configuration of the same name, which here has
        # the same settings.
        if isinstance(config, SyntheticFacesConfig):
            config = self.builder_configs.get(config.name, config)
        super().__init__(config=config, **options)

    def _info(self):
        features = tfds.features
        return tfds.core.DatasetInfo(
            builder=self,
            description="Drawn faces with seven expressions and their affect.",
            features=features.FeaturesDict(
                {
                    "image": features.Image(
                        shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="png"
                    ),
                    "expression": features.ClassLabel(names=list(EXPRESSIONS)),
                    "affect": features.Tensor(shape=(2,), dtype=np.float32),
                    "intensity": features.Scalar(dtype=np.float32),
                }
            ),
            supervised_keys=("image", "expression"),
            # A smaller data set stays the beginning of a larger one.
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {
            split: self._generate_examples(split, size)
            for split, size in self.builder_config.sizes.items()
        }

    def _generate_examples(self, split, size):
        seed = self.builder_config.seed
        for start in range(0, size, _WRITTEN_AT_ONCE):
            count = min(_WRITTEN_AT_ONCE, size - start)
            faces = draw_faces(
                count, seed, IMAGE_SIZE, split=split, start=start
            )
            for index in range(count):
                face = {name: values[index] for name, values in faces.items()}
                yield start + index, face


def load_synthetic_faces(
    data_dir: PathLike | None = None,
    split: str = "train",
    train_size: int = 2000,
    test_size: int = 1000,
    seed: int = 0,
    image_size: int = IMAGE_SIZE,
) -> LabelledImages:
    """Prepares synthetic faces, where that is not done yet, and loads them.

    Args:
        data_dir: Folder of the prepared files; by default that of TFDS,
            `~/tensorflow_datasets`.
        split: `"train"` or `"test"`; both are prepared.
        train_size: Number of training faces, at least 1.
        test_size: Number of test faces, at least 1.
        seed: Non-negative integer.
        image_size: Height and width to which the 48x48 images are scaled.

    Returns:
        A `LabelledImages` with `TASKS`, whose labels are the clean ones; see
        `LabelledImages.with_noise`. `extras["intensity"]` is float32 of
        shape `(n,)`.

    Raises:
        ValueError: A size, the seed or the split is none of these.

    Example:

    >>> faces = load_synthetic_faces(split="test", test_size=500)
    >>> faces.clean["affect"].shape
    (500, 2)
    """
    check_number("image_size", image_size, minimum=1, integer=True)
    check_choice("split", split, ("train", "test"))
    config = SyntheticFacesConfig(
        train_size=train_size, test_size=test_size, seed=seed
    )
    builder = SyntheticFaces(config=config, data_dir=data_dir)
    builder.download_and_prepare()
    faces = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    images = faces["image"]
    if image_size != IMAGE_SIZE:
        images = tf.image.resize(images, (image_size, image_size), "area")
        images = np.round(images).astype("uint8")
    clean = {task.name: faces[task.name] for task in TASKS}
    extras = {"intensity": faces["intensity"]}
    return LabelledImages(images, clean, TASKS, clean, extras)
