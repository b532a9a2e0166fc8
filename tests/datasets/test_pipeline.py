import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_noisyfer.datasets.arrays import make_dataset
from keras_noisyfer.datasets.augmentation import crop_and_flip, face_affine
from keras_noisyfer.datasets.pipeline import make_batches
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

OBJECT = CategoricalTask("object", num_classes=4, annotators=3)
AFFECT = ContinuousTask("affect", dimensions=("valence", "arousal"))
TASKS = [OBJECT, AFFECT]
COUNT = 20
NAN = np.nan


def some_images(count=COUNT, size=8):
    generator = np.random.default_rng(1)
    return generator.integers(0, 256, (count, size, size, 3), "uint8")


def some_labels(count=COUNT):
    generator = np.random.default_rng(2)
    return {
        "object": generator.integers(0, 4, (count, 3)),
        "affect": generator.uniform(-1, 1, (count, 2)),
    }


def numbered(count=COUNT, **kwargs):
    """A data set whose labels tell which image is where."""
    task = CategoricalTask("number", num_classes=count)
    labels = {"number": np.arange(count)}
    return make_dataset(some_images(count), labels, [task], **kwargs)


def batches(dataset):
    return [(images.numpy(), labels) for images, labels in dataset]


def order(dataset):
    return [labels["number"].numpy().tolist() for _, labels in dataset]


def scaled(images):
    return images.astype("float32") / np.float32(127.5) - np.float32(1)


# === Batches ===


def test_batches_follow_the_data_contract():
    labels = some_labels()
    dataset = make_dataset(some_images(), labels, TASKS, batch_size=8)
    images, given = zip(*dataset, strict=True)
    assert [each.shape for each in images] == [
        (8, 8, 8, 3),
        (8, 8, 8, 3),
        (4, 8, 8, 3),
    ]
    assert images[0].dtype == "float32"
    for name, dtype in (("object", "int32"), ("affect", "float32")):
        array = np.concatenate([each[name] for each in given])
        assert array.dtype == dtype
        np.testing.assert_array_equal(array, labels[name].astype(dtype))


def test_bytes_are_scaled_exactly():
    every_byte = np.arange(256, dtype="uint8").reshape(4, 8, 8, 1)
    task = CategoricalTask("object", num_classes=2)
    labels = {"object": np.zeros(4, int)}
    dataset = make_dataset(every_byte, labels, [task])
    ((images, _),) = batches(dataset)
    np.testing.assert_array_equal(images, scaled(every_byte))
    assert images.min() == -1 and images.max() == 1


def test_floats_are_left_as_they_are():
    floats = scaled(some_images())
    for dtype in ("float32", "float64"):
        dataset = make_dataset(
            floats.astype(dtype), some_labels(), TASKS, batch_size=COUNT
        )
        ((images, _),) = batches(dataset)
        assert images.dtype == np.float32
        np.testing.assert_array_equal(images, floats)


def test_order_is_kept_unless_training():
    assert order(numbered(batch_size=8)) == [
        list(range(8)),
        list(range(8, 16)),
        list(range(16, 20)),
    ]


def test_training_shuffles_however_many_images_there_are():
    """In the order of their classes, as they are read from folders."""
    labels = {"number": np.repeat(np.arange(COUNT), 1000)}
    images = np.zeros((len(labels["number"]), 1, 1, 1), "uint8")
    task = CategoricalTask("number", num_classes=COUNT)
    dataset = make_dataset(images, labels, [task], 500, training=True)
    _, first = next(iter(dataset))
    counts = np.bincount(np.ravel(first["number"]), minlength=COUNT)
    assert len(images) > 10_000 and counts.min() > 10


def test_training_shuffles_images_with_their_labels():
    images = scaled(some_images())
    dataset = numbered(batch_size=COUNT, training=True)
    ((shuffled, labels),) = batches(dataset)
    numbers = labels["number"].numpy()
    assert sorted(numbers) == list(range(COUNT))
    assert numbers.tolist() != sorted(numbers)
    np.testing.assert_array_equal(shuffled, images[numbers])


def test_only_training_drops_a_smaller_last_batch():
    def sizes(batch_size, training):
        dataset = numbered(batch_size=batch_size, training=training)
        return [len(batch) for batch in order(dataset)]

    assert sizes(8, training=True) == [8, 8]
    assert sizes(8, training=False) == [8, 8, 4]
    assert sizes(10, training=True) == [10, 10]
    # It would be all there is.
    assert sizes(32, training=True) == [20]


@pytest.mark.parametrize(
    ("batch_size", "training", "expected"),
    [(10, False, 10), (8, False, None), (8, True, 8), (32, True, None)],
)
def test_size_of_batches_is_known_where_nothing_is_left_over(
    batch_size, training, expected
):
    dataset = numbered(batch_size=batch_size, training=training)
    images, labels = dataset.element_spec
    assert images.shape[0] == labels["number"].shape[0] == expected
    assert sum(map(len, order(dataset))) == (
        16 if (batch_size, training) == (8, True) else COUNT
    )


def test_training_drops_a_smaller_batch_of_unknown_size():
    dataset = tf.data.Dataset.from_tensor_slices(
        (some_images(), some_labels())
    ).filter(lambda images, labels: True)
    batches = make_batches(dataset, batch_size=8, training=True)
    assert [len(images) for images, _ in batches] == [8, 8]
    # -2, an unknown cardinality, is not a multiple of 2.
    batches = make_batches(dataset.take(5), batch_size=2)
    assert [len(images) for images, _ in batches] == [2, 2, 1]


def one_epoch(dataset):
    numbers, images = [], []
    for batch, labels in dataset:
        images.append(batch)
        numbers.append(labels["number"])
    return np.concatenate(numbers), np.concatenate(images)


@pytest.mark.parametrize("augmentation", [None, crop_and_flip, face_affine])
def test_seed_decides_the_batches_of_each_epoch(augmentation):
    def two_epochs(seed, global_seed=0):
        keras.utils.set_random_seed(global_seed)
        dataset = numbered(
            batch_size=8,
            training=True,
            augmentation=augmentation,
            seed=seed,
        )
        return [one_epoch(dataset) for _ in range(2)]

    first, second = two_epochs(seed=0)
    for epoch, again in zip((first, second), two_epochs(seed=0), strict=True):
        np.testing.assert_array_equal(epoch[0], again[0])
        np.testing.assert_array_equal(epoch[1], again[1])
    for other in (
        second,
        two_epochs(seed=1)[0],
        two_epochs(seed=0, global_seed=1)[0],
    ):
        assert (first[0] != other[0]).any()


@pytest.mark.parametrize("augmentation", [crop_and_flip, face_affine])
def test_each_batch_and_epoch_is_augmented_otherwise(augmentation):
    images = np.repeat(some_images(1), COUNT, axis=0)
    dataset = make_dataset(
        images,
        some_labels(),
        TASKS,
        batch_size=10,
        training=True,
        augmentation=augmentation,
    )
    seen = [images for _ in range(2) for images, _ in batches(dataset)]
    for one, other in itertools.combinations(seen, 2):
        assert (one != other).any()


def test_only_training_augments():
    dataset = numbered(batch_size=COUNT, augmentation=crop_and_flip)
    ((images, _),) = batches(dataset)
    np.testing.assert_array_equal(images, scaled(some_images()))


def test_missing_labels_are_kept():
    labels = some_labels()
    labels["object"][3, 1] = -1
    labels["affect"][5] = (NAN, 0.5)
    for training in (False, True):
        dataset = make_dataset(
            some_images(), labels, TASKS, COUNT, training=training
        )
        ((_, given),) = batches(dataset)
        assert (given["object"].numpy() == -1).sum() == 1
        missing = np.isnan(given["affect"])
        assert missing.sum(axis=0).tolist() == [1, 0]
        np.testing.assert_array_equal(
            np.sort(given["affect"][:, 1]),
            np.sort(labels["affect"][:, 1].astype("float32")),
        )


def test_evaluation_accepts_clean_labels():
    clean = {
        "object": np.zeros(COUNT, "int64"),
        "affect": np.zeros((COUNT, 2)),
    }
    tasks = [OBJECT, AFFECT.with_annotators(2)]
    ((_, given),) = batches(make_dataset(some_images(), clean, tasks))
    assert given["object"].shape == (COUNT,)
    assert given["affect"].shape == (COUNT, 2)
    with pytest.raises(ValueError, match="'object'.*it has 3 annotator"):
        make_dataset(some_images(), clean, tasks, training=True)


# === Checks ===


def images_with(value):
    images = scaled(some_images())
    images[3, 2, 1, 0] = value
    return images


@pytest.mark.parametrize(
    "images, message",
    [
        (some_images()[0], r"shape \(n, height.*shape=\(8, 8, 3\)"),
        (some_images()[..., 0], r"shape=\(20, 8, 8\)"),
        (some_images()[:0], r"n >= 1.*shape=\(0, 8, 8, 3\)"),
        (some_images().astype("int32"), "uint8, or floating.*int32"),
        (some_images().astype("float32"), r"\[-1, 1\].*from 0.0 to 255.0"),
        (images_with(1.5), "to 1.5"),
        (images_with(-1.5), "from -1.5"),
        (images_with(np.inf), "to inf"),
        (images_with(NAN), "from nan to nan"),
        (some_images(19), r"labels\['object'\].*image: 19. Received: 20"),
    ],
)
def test_rejects_wrong_images(images, message):
    with pytest.raises(ValueError, match=message):
        make_dataset(images, some_labels(), TASKS)


def labels_with(name, index, value):
    labels = some_labels()
    labels[name][index] = value
    return labels


@pytest.mark.parametrize(
    "labels, message",
    [
        (
            labels_with("object", (7, 2), 4),
            r"'object' .* ids from 0 to 3 .*Received: 4 at index \(7, 2\)",
        ),
        (labels_with("object", (0, 0), -2), "'object'.*Received: -2 at"),
        (labels_with("affect", (1, 1), 1.5), "'affect'.*Received: 1.5 at"),
        (labels_with("affect", (1, 1), -np.inf), "'affect'.*Received: -inf"),
        (
            {**some_labels(), "object": np.zeros((COUNT, 3))},
            "'object' must be integers.*float",
        ),
        (
            {**some_labels(), "affect": np.zeros((COUNT, 2), int)},
            "'affect' must be floating point.*int",
        ),
        (
            {**some_labels(), "object": np.zeros((COUNT, 2), int)},
            "'object'.*it has 3 annotator.*(20, 2)",
        ),
        (
            {**some_labels(), "affect": np.zeros((COUNT, 3))},
            r"'affect' must have shape.*Received: .*3\)",
        ),
        (
            {**some_labels(), "affect": np.zeros((19, 2))},
            r"labels\['affect'\].*image: 20. Received: 19",
        ),
        (
            {"thing": some_labels()["object"], "affect": np.zeros((COUNT, 2))},
            r"keys \['object', 'affect'\].*keys=\['affect', 'thing'\]",
        ),
        ({"object": some_labels()["object"]}, r"keys=\['object'\]"),
        (some_labels()["object"], "must be a dict.*int64 of shape"),
    ],
)
@pytest.mark.parametrize("training", [False, True])
def test_rejects_wrong_labels(labels, message, training):
    with pytest.raises(ValueError, match=message):
        make_dataset(some_images(), labels, TASKS, training=training)


def test_rejects_tasks_of_one_name():
    with pytest.raises(ValueError, match="different names"):
        make_dataset(some_images(), some_labels(), [OBJECT, OBJECT])


def test_batches_must_define_a_concordance():
    def make(task, count, batch_size):
        labels = {task.name: some_labels(count)[task.name]}
        return make_dataset(some_images(count), labels, [task], batch_size)

    with pytest.raises(ValueError, match="at least 2 .*batch_size=1"):
        make(AFFECT, COUNT, batch_size=1)
    with pytest.raises(ValueError, match=r"at least 2 .*, 1 image\(s\)"):
        make(AFFECT, 1, batch_size=2)
    make(AFFECT, 2, batch_size=2)
    make(OBJECT, 1, batch_size=1)
    with pytest.raises(ValueError, match="at least 1 .*batch_size=0"):
        make(OBJECT, COUNT, batch_size=0)
