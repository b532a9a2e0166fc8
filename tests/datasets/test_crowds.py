import numpy as np
import pandas as pd
import pytest

from keras_noisyfer.datasets.long_table import crowd_streams
from keras_noisyfer.datasets.table import from_dataframe
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

CROWD = 40
IDS = CategoricalTask("expression", num_classes=3)
AFFECT = ContinuousTask("affect", ("valence", "arousal"))
SINGLE = {"image": "file", "annotator": "who", "value": "said"}
LONG = {**SINGLE, "task": "what"}


def crowd(images=3000, seed=1, fewest=1, most=6):
    """Image and annotator of each label, in a random order."""
    generator = np.random.default_rng(seed)
    names = [f"{index}.jpg" for index in range(images)]
    pairs = [
        (image, annotator)
        for image in range(images)
        for annotator in generator.choice(
            CROWD, generator.integers(fewest, most + 1), replace=False
        )
    ]
    image, annotator = np.array(generator.permutation(pairs)).T
    return names, image, [f"ann{i}" for i in range(CROWD)], annotator


def test_few_annotators_have_a_stream_each():
    stream, count = crowd_streams(
        ["a.jpg", "b.jpg"], [0, 0, 1], ["ann", "bob"], [1, 0, 1], 2
    )
    assert count == 2
    np.testing.assert_array_equal(stream, [1, 0, 1])


def test_one_annotator_more_makes_resampled_streams():
    names = ["ann", "bob", "cec"]
    _, count = crowd_streams(["a.jpg"], [0] * 3, names, [0, 1, 2], 2, streams=4)
    assert count == 4
    _, count = crowd_streams(["a.jpg"], [0] * 3, names, [0, 1, 2], 3, streams=4)
    assert count == 3


@pytest.mark.parametrize("streams", [1, 3, 5])
def test_each_image_fills_as_many_streams_as_it_can(streams):
    names, image, who, annotator = crowd()
    stream, count = crowd_streams(names, image, who, annotator, 5, streams)
    assert count == streams
    given = np.bincount(image, minlength=len(names))
    kept = stream >= 0
    np.testing.assert_array_equal(
        np.bincount(image[kept], minlength=len(names)),
        np.minimum(given, streams),
    )
    # At most one label an image and stream.
    places = set(zip(image[kept], stream[kept], strict=True))
    assert len(places) == kept.sum()
    assert stream.min() >= -1 and stream.max() == streams - 1


def test_streams_are_equally_full():
    names, image, who, annotator = crowd(fewest=1, most=2)
    stream, _ = crowd_streams(names, image, who, annotator)
    full = np.bincount(stream) / len(names)
    # 1.5 labels an image among 3 streams; standard error 0.009.
    np.testing.assert_allclose(full, 0.5, atol=0.04)


def test_every_annotator_reaches_every_stream():
    names, image, who, annotator = crowd(fewest=6)
    stream, _ = crowd_streams(names, image, who, annotator)
    # 6 labels an image: half are left out, a sixth goes to each stream.
    for one in range(CROWD):
        share = np.bincount(stream[annotator == one] + 1, minlength=4)
        np.testing.assert_allclose(
            share / share.sum(), [1 / 2, 1 / 6, 1 / 6, 1 / 6], atol=0.11
        )


def by_name(names, image, who, annotator, **options):
    stream, _ = crowd_streams(names, image, who, annotator, **options)
    return {
        (names[i], who[a]): s
        for i, a, s in zip(image, annotator, stream, strict=True)
    }


def test_draw_does_not_depend_on_any_order_or_on_other_images():
    names, image, who, annotator = crowd(images=200)
    expected = by_name(names, image, who, annotator)
    order = np.random.default_rng(3).permutation(len(image))
    assert by_name(names, image[order], who, annotator[order]) == expected
    # Other numbers for the same images and annotators.
    names_back, who_back = names[::-1], who[::-1]
    image_back, back = len(names) - 1 - image, CROWD - 1 - annotator
    assert by_name(names_back, image_back, who_back, back) == expected
    half = image < 100
    fewer = by_name(names[:100], image[half], who, annotator[half])
    assert fewer == {key: expected[key] for key in fewer}


def test_seed_decides_the_draw():
    data = crowd(images=200)
    assert by_name(*data, seed=7) == by_name(*data, seed=7)
    assert by_name(*data, seed=7) != by_name(*data, seed=8)


# === Tables of crowds ===


def crowd_frame(annotators=12):
    generator = np.random.default_rng(4)
    rows = [
        (file, f"w{who}", f"{generator.integers(3)}")
        for file in ("a.png", "b.png", "c.png", "more/d.png")
        for who in generator.choice(annotators, 4, replace=False)
    ]
    return pd.DataFrame(rows, columns=["file", "who", "said"])


def by_image(data):
    labels = data.labels["expression"].tolist()
    return dict(zip(data.names, labels, strict=True))


def test_crowd_becomes_resampled_streams(root):
    frame = crowd_frame()
    data = from_dataframe(frame, root, IDS, SINGLE, streams=3)
    assert data.tasks[0].annotators == 3 and data.annotators == {}
    for name, labels in by_image(data).items():
        said = frame[frame.file == name].said.astype(int).tolist()
        for label in labels:
            said.remove(label)
        assert len(said) == 1
    notes = data.report.notes
    assert notes["annotators of expression, now 3 streams"] == (
        frame.who.nunique()
    )
    assert notes["labels of expression beyond 3 an image, left out"] == 4
    shuffled = frame.sample(frac=1, random_state=1)
    again = from_dataframe(shuffled, root, IDS, SINGLE, streams=3)
    assert again.names != data.names and by_image(again) == by_image(data)
    other = from_dataframe(frame, root, IDS, SINGLE, streams=3, seed=1)
    assert by_image(other) != by_image(data)


def test_who_gave_a_label_travels_with_it(root):
    frame = crowd_frame()
    data = from_dataframe(frame, root, IDS, SINGLE, max_annotators=None)
    workers = sorted(frame.who.unique())
    assert len(workers) > 5 and data.annotators == {"expression": workers}
    given = {(row.file, row.who): int(row.said) for row in frame.itertuples()}
    for name, labels in by_image(data.select([0, 2])).items():
        for worker, label in zip(workers, labels, strict=True):
            assert label == given.get((name, worker), -1)


def test_names_of_thousands_are_kept(root):
    files = [name for name in ("a.png", "b.png", "more/d.png") for _ in "ab"]
    who = [f"w{number:04}" for number in range(2400, 0, -1)]
    rows = zip(files * 400, who, [0, 2, 1] * 800, strict=True)
    frame = pd.DataFrame(rows, columns=["file", "who", "said"])
    data = from_dataframe(frame, root, IDS, SINGLE, max_annotators=None)
    assert data.annotators == {"expression": sorted(who)}
    given = {(row.file, row.who): row.said for row in frame.itertuples()}
    labels = data.labels["expression"]
    assert (labels >= 0).sum() == 2400 and data.tasks[0].annotators == 2400
    names = sorted(who)
    for image, annotator in np.argwhere(labels >= 0):
        place = data.names[image], names[annotator]
        assert labels[image, annotator] == given[place]


def test_wide_and_long_crowds_agree(root):
    frame = crowd_frame()
    wide = frame.pivot(index="file", columns="who", values="said").reset_index()
    workers = sorted(frame.who.unique())
    columns = {"image": "file", "expression": workers}
    for options in ({}, {"max_annotators": 20}):
        one = from_dataframe(frame, root, IDS, SINGLE, **options)
        other = from_dataframe(wide, root, IDS, columns, **options)
        assert by_image(one) == by_image(other)
        assert one.annotators == other.annotators


def test_values_of_a_label_stay_together(root):
    rows = [
        (file, f"w{who}", what, sign * (who + 1) / 10)
        for file in ("a.png", "b.png")
        for who in range(7)
        for what, sign in (("valence", 1), ("arousal", -1))
    ]
    frame = pd.DataFrame(rows, columns=["file", "who", "what", "said"])
    data = from_dataframe(frame, root, AFFECT, LONG, streams=4)
    labels = data.labels["affect"]
    assert labels.shape == (2, 4, 2)
    np.testing.assert_array_equal(labels[..., 0], -labels[..., 1])
    assert all(len(set(each)) == 4 for each in labels[..., 0].tolist())
