import io
import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_noisyfer import noise
from keras_noisyfer.datasets.arrays import make_dataset
from keras_noisyfer.datasets.image_sources import ImageArray, ImageFiles
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

COUNT = 12
SHADE = CategoricalTask("shade", COUNT)
AFFECT = ContinuousTask("affect", ("valence", "arousal"))
# Image i is of one grey level, which tells its number: 20 i.
LEVELS = 20 * np.arange(COUNT)


def grey_images(size=16):
    level = LEVELS.astype("uint8")[:, None, None, None]
    return np.broadcast_to(level, (COUNT, size, size, 3))


def encode(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(file, kind)
    return file.getvalue()


@pytest.fixture(params=["files", "array"])
def images(request, tmp_path):
    names = [f"{i}.png" for i in range(COUNT)]
    if request.param == "files":
        for name, image in zip(names, grey_images(), strict=True):
            (tmp_path / name).write_bytes(encode(image))
        return ImageFiles(tmp_path, names)
    return ImageArray(grey_images(), names)


def labelled(images, **arguments):
    values = np.stack([np.linspace(-1, 1, COUNT)] * 2, 1).astype("float32")
    labels = {"shade": np.arange(COUNT), "affect": values}
    return LabelledImages(
        images, labels, [SHADE, AFFECT], clean=labels, **arguments
    )


def numbers(batch):
    """The numbers of the images of a batch, from their grey levels."""
    pixels = np.asarray(batch)
    assert np.ptp(pixels, axis=(1, 2, 3)).max() < 1e-6
    return np.rint((pixels[:, 0, 0, 0] + 1) * 127.5 / 20).astype(int)


@pytest.mark.parametrize("shape", [(16, 16, 3), (32, 24, 3)])
@pytest.mark.parametrize("training", [False, True])
def test_images_keep_their_labels(images, shape, training):
    data = labelled(images)
    seen = []
    for batch, labels in data.batches(shape, 5, training):
        assert batch.shape[1:] == shape and batch.dtype == tf.float32
        found = numbers(batch)
        np.testing.assert_array_equal(labels["shade"], found)
        np.testing.assert_allclose(
            labels["affect"][:, 0], np.linspace(-1, 1, COUNT)[found], atol=1e-6
        )
        seen.extend(found)
    if training:
        assert len(set(seen)) == 10 and seen != sorted(seen)
    else:
        assert seen == list(range(COUNT))


def test_one_channel(images):
    if isinstance(images, ImageArray):
        with pytest.raises(ValueError, match="with 3 channels"):
            labelled(images).batches((16, 16, 1), 6)
        return
    batch, _ = next(iter(labelled(images).batches((16, 16, 1), 6)))
    assert batch.shape == (6, 16, 16, 1)
    np.testing.assert_array_equal(numbers(batch), np.arange(6))


def test_the_order_repeats_with_the_seed_and_changes_with_the_epoch(images):
    def epochs(seed):
        dataset = labelled(images).batches((16, 16, 3), COUNT, True, seed=seed)
        return [list(numbers(next(iter(dataset))[0])) for _ in range(2)]

    first = epochs(3)
    assert first == epochs(3)
    assert first[0] != first[1] and first != epochs(4)


def test_take(images):
    data = labelled(images).take(4)
    assert len(data) == 4 and data.names == [f"{i}.png" for i in range(4)]
    assert data.report.accepted == 4
    batches = list(data.batches((16, 16, 3), 3))
    found = np.concatenate([numbers(batch) for batch, _ in batches])
    assert list(found) == [0, 1, 2, 3]
    np.testing.assert_array_equal(data.clean["shade"], np.arange(4))
    assert len(labelled(images).take(99)) == COUNT


def test_a_part_knows_what_the_whole_left_out(images):
    whole = labelled(images)
    whole.report = ImportReport("skip")
    whole.report.reject("x.png", "empty file")
    assert str(whole.take(3).report).splitlines() == [
        "accepted: 3 images",
        "rejected: 1 empty file (first: x.png)",
    ]


def test_split_draws_disjoint_parts_in_their_order(images):
    data = labelled(images)
    first, second = data.split([5, 4], seed=3)
    assert [len(first), len(second)] == [5, 4]
    assert not set(first.names) & set(second.names)
    for part in (first, second):
        batches = list(part.batches((16, 16, 3), 3))
        found = np.concatenate([numbers(batch) for batch, _ in batches])
        assert [f"{i}.png" for i in found] == part.names
        assert list(found) == sorted(found)
        np.testing.assert_array_equal(part.clean["shade"], found)
    again, _ = data.split([5, 4], seed=3)
    assert again.names == first.names
    assert data.split([5, 4], seed=4)[0].names != first.names
    for sizes in ([COUNT, 1], [3, 0], [], 5, [4.0]):
        with pytest.raises(ValueError, match="`sizes` must be integers above"):
            data.split(sizes)


def test_selects_the_images_there_are(images):
    data = labelled(images)
    mask = np.arange(COUNT) < 3
    for indices in ([0, 1, 2], mask, slice(3)):
        assert data.select(indices).names == ["0.png", "1.png", "2.png"]
    wrong = [], 5, [COUNT], [0.5], ["a"], mask[1:], slice(0), None
    for indices in wrong:
        with pytest.raises(ValueError, match="`indices` must be of some of"):
            data.select(indices)
    for count in (-1, 0, 2.5):
        with pytest.raises(ValueError, match="`count` must be at least 1"):
            data.take(count)
    for draw in (data.split, data.with_noise):
        with pytest.raises(ValueError, match="`seed` must be at least 0"):
            draw([3] if draw == data.split else {}, seed=-1)


def test_index_names_the_images_of_a_batch(images):
    data = labelled(images)
    dataset = data.batches((16, 16, 3), 4, training=True, with_index=True)
    for inputs, labels in dataset:
        assert inputs["index"].dtype == tf.int32
        np.testing.assert_array_equal(numbers(inputs["image"]), inputs["index"])
        assert set(labels) == {task.name for task in data.tasks}


def test_a_file_that_is_gone_stops_the_run(tmp_path):
    """No image ever gets the labels of another one."""
    names = [f"{i}.png" for i in range(COUNT)]
    for name, image in zip(names, grey_images(), strict=True):
        (tmp_path / name).write_bytes(encode(image))
    data = LabelledImages(
        ImageFiles(tmp_path, names), {"shade": np.arange(COUNT)}, [SHADE]
    )
    (tmp_path / names[7]).unlink()
    with pytest.raises(tf.errors.NotFoundError, match="7.png"):
        list(data.batches((16, 16, 3), 4))


def test_jpeg_files_are_decoded_at_the_size_asked_for(tmp_path):
    names = []
    for size in (30, 64, 130, 600):
        names.append(f"{size}.jpg")
        image = np.full((size, size + 8, 3), 90, "uint8")
        (tmp_path / names[-1]).write_bytes(encode(image, "JPEG"))
    data = LabelledImages(
        ImageFiles(tmp_path, names), {"shade": np.arange(4)}, [SHADE]
    )
    batch, _ = next(iter(data.batches((64, 64, 3), 4)))
    np.testing.assert_allclose(batch, 90 / 127.5 - 1, atol=2 / 127.5)


def test_with_noise_mislabels_the_clean_labels(images):
    data = labelled(images)
    annotators = {
        "shade": [noise.CategoricalAnnotator(1.0)] * 2,
        "affect": [noise.ContinuousAnnotator(bias=0.0, standard_deviation=0.0)],
    }
    noisy = data.with_noise(annotators, seed=5)
    assert [task.annotators for task in noisy.tasks] == [2, 1]
    assert (noisy.labels["shade"] != np.arange(COUNT)[:, None]).all()
    np.testing.assert_array_equal(
        noisy.labels["affect"][:, 0], data.clean["affect"]
    )
    again = data.with_noise(annotators, seed=5).labels["shade"]
    np.testing.assert_array_equal(noisy.labels["shade"], again)
    other = data.with_noise(annotators, seed=6).labels["shade"]
    assert (noisy.labels["shade"] != other).any()
    # A task that nobody mislabels keeps what it has.
    partly = data.with_noise({"shade": annotators["shade"]})
    np.testing.assert_array_equal(
        partly.labels["affect"], data.labels["affect"]
    )
    np.testing.assert_array_equal(data.labels["shade"], np.arange(COUNT))


def test_with_noise_needs_clean_labels(images):
    data = LabelledImages(images, {"shade": np.arange(COUNT)}, [SHADE])
    annotators = {"shade": noise.PAPER_ANNOTATORS}
    with pytest.raises(ValueError, match="there are none. Received: 'shade'"):
        data.with_noise(annotators)
    with pytest.raises(
        ValueError, match="`annotators` may only.*'shade'.*'mood'"
    ):
        data.with_noise({"mood": noise.PAPER_ANNOTATORS})


def test_with_labels_counts_the_annotators(images):
    data = labelled(images)
    other = data.with_labels({"shade": np.zeros((COUNT, 3), int)})
    assert other.tasks == (SHADE.with_annotators(3),)
    assert set(other.clean) == {"shade"} and other.images is data.images
    with pytest.raises(ValueError, match="class ids from 0 to 11"):
        data.with_labels({"shade": np.full(COUNT, 12)})
    with pytest.raises(ValueError, match="`labels` must be a dict by task"):
        data.with_labels(np.zeros(COUNT))


def test_annotators_keep_their_names(images):
    labels = np.zeros((COUNT, 2), int)
    two = labelled(images).with_labels(
        {"shade": labels}, annotators={"shade": ["ann", "bob"]}
    )
    # A label that was corrected.
    labels = np.where(np.arange(COUNT)[:, None] == 3, 5, labels)
    assert two.with_labels({"shade": labels}).annotators == two.annotators
    # Others than these.
    drawn = two.with_noise({"shade": noise.PAPER_ANNOTATORS[:2]})
    one = two.with_labels({"shade": labels[:, :1]})
    clean = one.with_labels(one.labels, annotators={"shade": ["ann"]})
    for each in (drawn, one, clean.clean_labels(), two.clean_labels()):
        assert each.annotators == {}


@pytest.mark.parametrize("kind", ["labels", "clean", "extras"])
def test_every_array_has_one_entry_an_image(kind):
    arrays = {"labels": {"shade": np.arange(COUNT)}}
    arrays[kind] = {"shade": np.arange(COUNT - 1)}
    with pytest.raises(ValueError, match=rf"`{kind}\['shade'\]` must have"):
        LabelledImages(ImageArray(grey_images()), tasks=[SHADE], **arrays)


@pytest.mark.parametrize(
    "shape", [None, 32, "64", (16, 16), (16, 16, 2), (0, 16, 3)]
)
def test_files_need_a_size(tmp_path, shape):
    data = LabelledImages(
        ImageFiles(tmp_path, ["a.png"]), {"shade": [0]}, [SHADE]
    )
    with pytest.raises(ValueError, match="`image_shape` must be"):
        data.batches(shape)
    with pytest.raises(ValueError, match="`augmentation` must be a function"):
        data.batches((32, 32, 3), training=True, augmentation="flip")


def test_training_needs_every_annotator():
    data = LabelledImages(
        ImageArray(grey_images()),
        {"shade": np.arange(COUNT)},
        [SHADE.with_annotators(2)],
    )
    assert len(list(data.batches(batch_size=6))) == 2
    with pytest.raises(ValueError, match="it has 2 annotator"):
        data.batches(batch_size=6, training=True)


def test_make_dataset_is_the_array_case():
    labels = {"shade": np.arange(COUNT)}
    made = make_dataset(grey_images(), labels, [SHADE], 4, True, seed=1)
    data = LabelledImages(ImageArray(grey_images()), labels, [SHADE])
    for first, second in zip(
        made, data.batches(None, 4, True, seed=1), strict=True
    ):
        np.testing.assert_array_equal(first[0], second[0])
        np.testing.assert_array_equal(first[1]["shade"], second[1]["shade"])


@pytest.mark.parametrize(
    "names",
    [{"mood": ["ann", "bob"]}, {"shade": ["ann"]}, {"shade": ["ann", "ann"]}],
)
def test_as_many_names_as_annotators(names):
    tasks = [SHADE.with_annotators(2)]
    labels = {"shade": np.zeros((COUNT, 2), "int32")}
    right = {"shade": ("ann", "bob")}
    data = LabelledImages(grey_images(), labels, tasks, annotators=right)
    assert data.take(3).annotators == {"shade": ["ann", "bob"]}
    with pytest.raises(ValueError, match="`annotators` must be .*Received: '"):
        LabelledImages(grey_images(), labels, tasks, annotators=names)


def test_floats_of_another_scale_are_told():
    labels = {"shade": np.arange(COUNT)}
    images = grey_images().astype("float32") / 255
    for make, given in (
        (LabelledImages, images),
        (LabelledImages, ImageArray(images)),
        (make_dataset, images),
    ):
        with pytest.warns(UserWarning, match=r"seem to be in \[0, 1\]"):
            data = make(given, labels, [SHADE])
        if make is LabelledImages:
            # Parts of it do not tell again.
            assert len(data.take(3).with_labels(data.take(3).labels)) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for right in (2 * images - 1, grey_images(), 0 * images + 1):
            LabelledImages(right, labels, [SHADE]).take(3)


def test_warns_in_training_of_annotators_without_a_label():
    images = np.zeros((4, 8, 8, 3), "uint8")
    mood = CategoricalTask("mood", num_classes=3, annotators=3)
    labels = np.array([[0, -1, 1], [2, -1, -1], [1, -1, 0], [0, -1, 1]])
    data = LabelledImages(
        images, {"mood": labels}, [mood], annotators={"mood": [*"abc"]}
    )
    with pytest.warns(UserWarning, match="'mood' without any label: b. ") as w:
        data.batches(batch_size=2, training=True)
    # It names the line of the caller.
    assert len(w) == 1 and w[0].filename == __file__
    with pytest.warns(UserWarning, match="without any label: 1. "):
        make_dataset(images, {"mood": labels}, [mood], 2, training=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.batches(batch_size=2)
        one = {"mood": labels[:, :1]}
        data.with_labels(one, [mood.with_annotators(1)]).batches(
            batch_size=2, training=True
        )


@pytest.mark.parametrize("annotators", [1, 3])
def test_warns_in_training_of_tasks_without_a_label(annotators):
    images = np.zeros((4, 8, 8, 3), "uint8")
    mood = CategoricalTask("mood", num_classes=3, annotators=annotators)
    labels = {
        "mood": np.full((4, annotators), -1),
        "shade": np.zeros((4, 1), int),
    }
    data = LabelledImages(images, labels, [mood, SHADE])
    with pytest.warns(UserWarning, match="Task 'mood' has no label") as w:
        data.batches(batch_size=2, training=True)
    assert len(w) == 1 and w[0].filename == __file__


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_that_come_first_are_refused(channels):
    images = np.zeros((COUNT, channels, 32, 32), "uint8")
    labels = {"shade": np.arange(COUNT)}
    with pytest.raises(ValueError, match=r"channels last.*moveaxis.* 32, 32"):
        make_dataset(images, labels, [SHADE], 4)
    make_dataset(np.moveaxis(images, 1, -1), labels, [SHADE], 4)
