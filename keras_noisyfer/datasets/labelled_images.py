"""Images of any origin with their labels, before they are batched."""

import copy
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from keras_noisyfer import noise
from keras_noisyfer.arguments import check_by_task, check_number
from keras_noisyfer.datasets.exchange import Exchange
from keras_noisyfer.datasets.image_sources import ImageArray
from keras_noisyfer.datasets.pipeline import (
    check_annotators,
    check_indices,
    check_labels,
    check_target_shape,
    make_batches,
    warn_of_silence,
)
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.labels import annotator_axis
from keras_noisyfer.tasks import ContinuousTask, check_tasks
from keras_noisyfer.typing import (
    Augmentation,
    Labels,
    PathLike,
    Shape,
    Tasks,
)
from keras_noisyfer.value_checks import lowest_value, warn_of_scale


class LabelledImages(Exchange):
    """One split of a data set: its images and what annotators said of them.

    Labels are plain arrays, ready for noise, votes and tables; images stay
    where they are and are decoded during training. All loaders return it, and
    `batches` makes a `tf.data.Dataset` of it.

    Args:
        images: `ImageFiles`, `ImageArray` or an array as of `make_dataset`.
        labels: Dict by task name. Categorical: integers of shape
            `(n, annotators)` or `(n,)`, -1 where missing; continuous: floats
            in [-1, 1] of shape `(n, annotators, dimensions)` or
            `(n, dimensions)`, NaN where missing.
        tasks: Sequence of tasks.
        clean: Dict by task name of labels that count as the truth, without
            an annotator axis; tasks without them are left out.
        extras: Dict of further arrays with one entry an image.
        report: `ImportReport` of what was left out.
        annotators: Dict by task name of the annotators' names, where known.

    Attributes:
        names: List of one name an image; others are named as the arguments.

    Raises:
        ValueError: if a label has a wrong shape, dtype or value, or lengths
            differ.

    Warns:
        UserWarning: if the images are an array of floats in [0, 1].

    Example:

    >>> data = from_csv("labels.csv", "faces", tasks, columns)
    >>> dataset = data.batches((64, 64, 3), batch_size=32, training=True)
    >>> model.fit(dataset, epochs=10)
    """

    def __init__(
        self,
        images: Any,
        labels: Labels,
        tasks: Tasks,
        clean: Labels | None = None,
        extras: Mapping[str, Any] | None = None,
        report: ImportReport | None = None,
        annotators: Mapping[str, Any] | None = None,
    ):
        if isinstance(images, np.ndarray):
            images = ImageArray(images)
        array = getattr(images, "images", None)
        if array is not None and array.dtype != np.uint8:
            warn_of_scale(lowest_value(array))
        self.images = images
        self.labels = labels
        self.tasks = tasks
        self.clean = clean or {}
        self.extras = dict(extras or {})
        self.report = report or ImportReport()
        self.annotators = dict(annotators or {})
        self._check()

    def _check(self):
        self.names = self.images.names
        self.tasks = check_tasks(self.tasks)
        self.labels = check_labels(self.labels, self.tasks, evaluation=True)
        self.clean = {
            name: check_labels({name: array}, [self._task(name)], True)[name]
            for name, array in self.clean.items()
        }
        self.annotators = check_annotators(self.annotators, self.tasks)
        self.extras = dict(self.extras)
        self.report.accepted = len(self.names)
        for kind in ("labels", "clean", "extras"):
            for name, array in getattr(self, kind).items():
                if len(array) != len(self.names):
                    raise ValueError(
                        f"`{kind}['{name}']` must have one entry an image: "
                        f"{len(self.names)}. Received: {len(array)}"
                    )

    def __len__(self):
        return len(self.names)

    def __repr__(self):
        tasks = ", ".join(map(repr, self.tasks))
        return f"<LabelledImages: {len(self):,} images, {tasks}>"

    @property
    def labelled_tasks(self) -> Tasks:
        """List of the tasks of which at least one image has a label."""
        labels = self.labels
        return [t for t in self.tasks if not t.missing(labels[t.name]).all()]

    def _task(self, name):
        tasks = {task.name: task for task in self.tasks}
        if name not in tasks:
            raise ValueError(
                f"The tasks are {', '.join(tasks)}. Received: {name!r}"
            )
        return tasks[name]

    def _replace(self, **changes):
        data = copy.copy(self)
        vars(data).update(changes)
        data._check()
        return data

    def take(self, count: int) -> Self:
        """The first `count` images with their labels; all if there are less."""
        check_number("count", count, minimum=1, integer=True)
        return self.select(slice(None, count))

    def split(self, sizes: Sequence[int], seed: int = 0) -> list[Self]:
        """Parts of the images, drawn at random without overlap.

        Args:
            sizes: Sequence of the parts' numbers of images.
            seed: Non-negative integer.

        Returns:
            A list of `LabelledImages`, each in the order of this one.

        Raises:
            ValueError: if a size is not positive or there are fewer images.

        Example:

        >>> train, held_out = data.split([len(data) - 1000, 1000])
        """
        check_number("seed", seed, minimum=0, integer=True)
        valid = isinstance(sizes, (list, tuple, np.ndarray)) and len(sizes)
        if (
            not valid
            or not all(
                isinstance(each, numbers.Integral) and each > 0
                for each in sizes
            )
            or sum(sizes) > len(self)
        ):
            raise ValueError(
                "`sizes` must be integers above 0 that add up to at most "
                f"{len(self)}, the number of images. Received: {sizes}"
            )
        order = np.random.default_rng(seed).permutation(len(self))
        parts = np.split(order, np.cumsum(sizes))[: len(sizes)]
        return [self.select(part) for part in map(np.sort, parts)]

    def select(self, indices: Sequence[int] | np.ndarray | slice) -> Self:
        """The images of indices, of a mask or of a slice, with their labels.

        Raises:
            ValueError: if there is no such image.
        """
        check_indices(indices, len(self))
        arrays = {
            kind: {name: e[indices] for name, e in getattr(self, kind).items()}
            for kind in ("labels", "clean", "extras")
        }
        images = self.images.select(indices)
        # It counts its own images, and knows what the whole left out.
        report = copy.copy(self.report)
        return self._replace(images=images, report=report, **arrays)

    def with_labels(
        self,
        labels: Labels,
        tasks: Tasks | None = None,
        annotators: Mapping[str, Sequence[str]] | None = None,
    ) -> Self:
        """The same images with other labels.

        Args:
            labels: Dict by task name, as the argument of the class.
            tasks: Sequence of tasks; by default those there are, with as
                many annotators as `labels` has.
            annotators: Dict by task name of the annotators' names; by default
                the same ones where there are as many as before.
        """
        if tasks is None:
            tasks = []
            labels = check_by_task("labels", labels, self.tasks)
            for name, array in labels.items():
                task = self._task(name)
                count = annotator_axis(task, np.asarray(array)).shape[1]
                tasks.append(task.with_annotators(count))
        counts = {task.name: task.annotators for task in check_tasks(tasks)}
        clean = {n: each for n, each in self.clean.items() if n in counts}
        if annotators is None:
            annotators = {
                name: names
                for name, names in self.annotators.items()
                if len(names) == counts.get(name)
            }
        return self._replace(
            tasks=tasks, labels=labels, clean=clean, annotators=annotators
        )

    def with_machine_labels(
        self, path: PathLike, tasks: Tasks = (), on_error: str = "raise"
    ) -> "LabelledImages":
        """The same images with the labels of another model, as `relabel` wrote
        them: a task that it predicts has its labels alone; the others, and all
        clean labels, stay.

        Args:
            path: CSV file in the long form of `from_csv`, with the columns
                `image`, the image's name, `annotator`, `task` and `value`;
                rows of the annotator `clean` count as the truth.
            tasks: Sequence of tasks of the file that the data do not have;
                `affect`, valence and arousal, needs not be told.
            on_error: `"raise"`, or `"skip"`: leave bad rows, and images
                without a label in the file, out and count them.

        Raises:
            ValueError: if it is no such file, names of images repeat, or, with
                `on_error="raise"`, at the first bad row or image without one.

        Example:

        >>> relabel("affectnet.keras", data, tasks, "AffectnetModel.csv")
        >>> train = data.with_machine_labels("AffectnetModel.csv")
        """
        # It makes `LabelledImages`.
        from keras_noisyfer.datasets.machine_labels import join_table

        return join_table(self, path, tasks, on_error)

    def clean_labels(self) -> Self:
        """The same images for evaluation: clean labels, of one annotator.

        A task without clean labels keeps its labels if it has one annotator,
        and loses them if it has several, of whom none is the truth.
        """
        labels = {}
        for task in self.tasks:
            given = self.clean.get(task.name, self.labels[task.name])
            if task.name not in self.clean and task.annotators > 1:
                given = np.full_like(given[:, :1], float(task.missing_value))
            labels[task.name] = given
        known = {
            n: v
            for n, v in self.annotators.items()
            if len(v) == 1 and n not in self.clean
        }
        return self.with_labels(labels, annotators=known)

    def with_noise(self, annotators: dict[str, Any], seed: int = 0) -> Self:
        """The same images, labelled anew by simulated annotators.

        Args:
            annotators: Dict by task name of sequences of annotators, see
                `keras_noisyfer.noise`. A task left out keeps its labels.
            seed: Non-negative integer; each task draws from one of its own.

        Raises:
            ValueError: if a task is unknown or has no clean labels.

        Example:

        >>> noisy = data.with_noise({"object": noise.PAPER_ANNOTATORS})
        """
        check_number("seed", seed, minimum=0, integer=True)
        labels = dict(self.labels)
        annotators = check_by_task("annotators", annotators, self.tasks)
        for name, group in annotators.items():
            task = self._task(name)
            is_continuous = isinstance(task, ContinuousTask)
            if not isinstance(group, (list, tuple)) or any(
                isinstance(each, noise.ContinuousAnnotator) != is_continuous
                for each in group
            ):
                raise ValueError(
                    f"`annotators['{name}']` must be a sequence of annotators "
                    f"of a {type(task).__name__}. Received: {group!r}"
                )
            if name not in self.clean:
                raise ValueError(
                    "`annotators` can mislabel tasks with clean labels only: "
                    f"{', '.join(self.clean) or 'there are none'}. "
                    f"Received: {name!r}"
                )
            labels[name] = noise.annotate(
                self.clean[name],
                group,
                num_classes=getattr(task, "num_classes", None),
                seed=np.random.default_rng([seed, self.tasks.index(task)]),
            )
        known = {
            n: v for n, v in self.annotators.items() if n not in annotators
        }
        return self.with_labels(labels, annotators=known)

    def batches(
        self,
        image_shape: Shape | None = None,
        batch_size: int = 128,
        training: bool = False,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        with_index: bool = False,
    ) -> tf.data.Dataset:
        """Makes a `tf.data.Dataset` of batches `(image, labels)`.

        Args:
            image_shape: `(height, width, channels)` that images are scaled
                to; 1 or 3 channels. May be left out for arrays.
            batch_size: Number of images a batch; at least 2 for a continuous
                task, whose concordance one element does not define.
            training: Whether to shuffle, to augment, and to drop a last
                batch that is smaller than the others.
            augmentation: `None`, or a function of a batch of images in
                [-1, 1] and a seed, such as `crop_and_flip` or `face_affine`.
            seed: Seed of the order and of the augmentation. The same seed
                gives the same batches, and other ones in each epoch; as
                everywhere in `tf.data` it counts together with the global
                seed, that of `keras.utils.set_random_seed`, when the data
                set is made.
            with_index: Whether elements are `({"image": ..., "index": ...},
                labels)`, index int32 `(batch_size,)`: for models that remember
                something of each image, and for `NumericalFault`, which then
                names them.

        Returns:
            A `tf.data.Dataset` whose elements are float32 images in [-1, 1]
            and a dict of labels: int32 or float32.

        Raises:
            ValueError: if an argument is out of its range, or the labels
                have no annotator axis where training needs it. In training
                warns of a task, or an annotator of it, without any label.
        """
        image_shape = check_target_shape(image_shape, self.images.image_shape)
        labels = check_labels(self.labels, self.tasks, evaluation=not training)
        minimum = 1 + any(isinstance(t, ContinuousTask) for t in self.tasks)
        if min(batch_size, len(self)) < minimum:
            raise ValueError(
                f"`batch_size` and the number of images must be at least "
                f"{minimum} for these tasks. Received: "
                f"batch_size={batch_size}, {len(self)} image(s)"
            )
        if training:
            warn_of_silence(labels, self.tasks, self.annotators)
        parts: list[Any] = [labels]
        if with_index:
            parts.append(np.arange(len(self), dtype="int32"))
        images, decode = self.images.read(image_shape)
        dataset = tf.data.Dataset.zip(
            images,
            *map(tf.data.Dataset.from_tensor_slices, parts),
        )
        batches = make_batches(
            dataset, batch_size, training, augmentation, seed, decode
        )

        if not with_index:
            return batches
        return batches.map(lambda x, y, i: ({"image": x, "index": i}, y))
