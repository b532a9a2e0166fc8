import numpy as np
import pytest

from keras_noisyfer import noise
from keras_noisyfer.datasets import synthetic_faces
from keras_noisyfer.datasets.face_drawing import APPEARANCE, render_faces
from keras_noisyfer.datasets.synthetic_faces import (
    AFFECT,
    EXPRESSIONS,
    MOVEMENTS,
    SyntheticFaces,
    SyntheticFacesConfig,
    draw_faces,
    load_synthetic_faces,
)

COUNT = 1050
REGIONS = {
    "mouth": (slice(30, 46), slice(12, 36)),
    "eyes": (slice(12, 28), slice(8, 40)),
}


@pytest.fixture(scope="module")
def faces():
    return draw_faces(COUNT, seed=3)


def of_class(faces, expression):
    return faces["expression"] == EXPRESSIONS.index(expression)


def assert_same(faces, others):
    assert faces.keys() == others.keys()
    for name in faces:
        np.testing.assert_array_equal(faces[name], others[name], name)


def test_shapes_types_and_ranges(faces):
    assert faces["image"].shape == (COUNT, 48, 48, 3)
    assert faces["image"].dtype == np.uint8
    assert faces["expression"].shape == (COUNT,)
    assert faces["expression"].dtype == np.int32
    assert faces["affect"].shape == (COUNT, 2)
    assert faces["affect"].dtype == np.float32
    assert faces["intensity"].dtype == np.float32
    assert np.abs(faces["affect"]).max() <= 1
    neutral = of_class(faces, "neutral")
    assert (faces["intensity"][neutral] == 0).all()
    assert faces["intensity"][~neutral].min() >= 0.3
    assert faces["intensity"].max() <= 1


def test_images_use_the_range_and_differ(faces):
    means = faces["image"].mean(axis=(1, 2, 3))
    assert 70 < means.mean() < 170
    assert means.std() > 10
    assert faces["image"].std(axis=(1, 2, 3)).min() > 8
    assert len({image.tobytes() for image in faces["image"]}) == COUNT


@pytest.mark.parametrize("image_size", [16, 33, 64])
def test_image_size(image_size):
    faces = draw_faces(2, 0, image_size)
    assert faces["image"].shape == (2, image_size, image_size, 3)
    # The same faces at another size.
    np.testing.assert_array_equal(faces["affect"], draw_faces(2, 0)["affect"])


def test_no_faces():
    faces = draw_faces(0, seed=0)
    assert faces["image"].shape == (0, 48, 48, 3)
    assert faces["affect"].shape == (0, 2)


def test_same_seed_same_faces():
    assert_same(draw_faces(5, seed=7), draw_faces(5, seed=7))


@pytest.mark.parametrize("other", [{"seed": 8}, {"split": "test"}])
def test_seed_and_split_change_every_face(other):
    first = draw_faces(40, seed=7)
    second = draw_faces(40, **{"seed": 7, **other})
    assert (first["image"] != second["image"]).any(axis=(1, 2, 3)).all()
    assert (first["affect"] != second["affect"]).any(axis=1).all()


def test_smaller_set_is_the_beginning_of_a_larger_one(faces):
    smaller = draw_faces(50, seed=3)
    assert_same(smaller, {name: v[:50] for name, v in faces.items()})


def test_start_continues_the_set(faces):
    later = draw_faces(20, seed=3, start=45)
    assert_same(later, {name: v[45:65] for name, v in faces.items()})


def test_classes_are_balanced(faces):
    counts = np.bincount(faces["expression"], minlength=7)
    assert counts.size == 7
    # 150 expected; five standard deviations of the binomial are 57.
    assert np.abs(counts - COUNT / 7).max() < 57


def test_affect_has_the_sign_of_its_expression(faces):
    valence, arousal = faces["affect"].T
    assert (valence[of_class(faces, "happy")] > 0).all()
    for expression in ("sad", "fear", "disgust", "anger"):
        assert valence[of_class(faces, expression)].mean() < -0.2
    for expression in ("surprise", "fear", "anger"):
        assert arousal[of_class(faces, expression)].mean() > 0.3
    assert arousal[of_class(faces, "sad")].mean() < -0.15
    neutral = faces["affect"][of_class(faces, "neutral")]
    assert np.abs(neutral).max() < 0.2
    assert neutral.std(axis=0).min() > 0.03


def test_affect_grows_with_intensity(faces):
    for expression in ("happy", "sad", "surprise", "anger"):
        chosen = of_class(faces, expression)
        along = faces["affect"][chosen] @ AFFECT[EXPRESSIONS.index(expression)]
        correlation = np.corrcoef(along, faces["intensity"][chosen])[0, 1]
        assert correlation > 0.6, expression


def mean_region(faces, chosen, region):
    """Mean over images of a region, each at mean 0 and deviation 1."""
    pixels = faces["image"][chosen].mean(axis=-1)[:, *REGIONS[region]]
    pixels = pixels - pixels.mean(axis=(1, 2), keepdims=True)
    return (pixels / pixels.std(axis=(1, 2), keepdims=True)).mean(axis=0)


@pytest.mark.parametrize(
    "region, one, other", [("mouth", "happy", "sad"), ("eyes", "anger", "fear")]
)
def test_expression_shows(faces, region, one, other):
    even = np.arange(COUNT) % 2 == 0
    chosen = of_class(faces, one)
    mean = mean_region(faces, chosen & even, region)
    within = mean - mean_region(faces, chosen & ~even, region)
    across = mean - mean_region(faces, of_class(faces, other), region)
    assert np.abs(across).mean() > 1.5 * np.abs(within).mean()


@pytest.mark.parametrize("movement", MOVEMENTS)
def test_each_movement_shows_in_its_half_of_the_face(movement):
    def render(amount):
        # An average face, upright in the middle.
        choice = {name: np.full(1, 0.5, "float32") for name in APPEARANCE}
        moved = {name: np.zeros(1, "float32") for name in MOVEMENTS}
        moved["mouth_open"] += 0.3
        moved[movement] += amount
        noise = np.zeros((1, 48, 48, 3), "float32")
        return render_faces(choice, moved, noise).astype(int)[0]

    change = np.abs(render(0.7) - render(0.0)).sum(axis=-1)
    row = np.average(np.arange(48), weights=change.sum(axis=1))
    assert change.max() > 40
    if movement.startswith(("brow", "eye", "lower_lid", "nose")):
        assert row < 30
    else:
        assert row > 34


def test_affect_shows_within_an_expression(monkeypatch):
    # The same faces without the jitter: the further a face's affect is from
    # that of its expression, the more its picture changes.
    jittered = draw_faces(300, seed=11)
    monkeypatch.setattr(synthetic_faces, "AFFECT_JITTER", 0.0)
    plain = draw_faces(300, seed=11)
    affect = np.abs(jittered["affect"] - plain["affect"]).sum(axis=1)
    image = jittered["image"].astype(float) - plain["image"]
    image = np.abs(image).mean(axis=(1, 2, 3))
    assert np.corrcoef(affect, image)[0, 1] > 0.3
    np.testing.assert_array_equal(jittered["expression"], plain["expression"])


def test_builder_round_trip(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_faces, "_WRITTEN_AT_ONCE", 4)
    config = SyntheticFacesConfig(
        train_size=10, validation_size=3, test_size=4, seed=5
    )
    builder = SyntheticFaces(config=config, data_dir=tmp_path)
    builder.download_and_prepare()
    assert tuple(builder.info.features["expression"].names) == EXPRESSIONS
    sizes = {"train": 10, "validation": 3, "test": 4}
    assert set(builder.info.splits) == set(sizes)
    for split, size in sizes.items():
        assert builder.info.splits[split].num_examples == size
        read = list(builder.as_dataset(split=split).as_numpy_iterator())
        read = {name: np.stack([r[name] for r in read]) for name in read[0]}
        assert_same(read, draw_faces(size, seed=5, split=split))


def test_loads_what_is_drawn(tmp_path):
    for split, size in (("train", 10), ("test", 4)):
        data = load_synthetic_faces(tmp_path, split, 10, 4, seed=5)
        drawn = draw_faces(size, seed=5, split=split)
        np.testing.assert_array_equal(data.images.images, drawn["image"])
        for name in ("expression", "affect"):
            np.testing.assert_array_equal(data.labels[name], drawn[name])
            np.testing.assert_array_equal(data.clean[name], drawn[name])
        np.testing.assert_array_equal(
            data.extras["intensity"], drawn["intensity"]
        )
        ((images, labels),) = data.batches(batch_size=10)
        assert images.shape == (size, 48, 48, 3)
        assert labels["affect"].shape == (size, 2)
    small = load_synthetic_faces(tmp_path, "train", 10, 4, 5, image_size=24)
    assert small.images.images.shape == (10, 24, 24, 3)
    noisy = small.with_noise({"expression": noise.PAPER_ANNOTATORS})
    assert noisy.labels["expression"].shape == (10, 3)
    with pytest.raises(ValueError, match="`split` must be one of train, test"):
        load_synthetic_faces(tmp_path, "validation")
    with pytest.raises(ValueError, match="`image_size` must be at least 1"):
        load_synthetic_faces(tmp_path, image_size=0)


def test_builder_without_validation_and_two_configs_in_one_folder(tmp_path):
    images = []
    for seed in (0, 1):
        config = SyntheticFacesConfig(train_size=2, test_size=1, seed=seed)
        builder = SyntheticFaces(config=config, data_dir=tmp_path)
        builder.download_and_prepare()
        assert set(builder.info.splits) == {"train", "test"}
        example = next(builder.as_dataset(split="train").as_numpy_iterator())
        images.append(example["image"])
    assert (images[0] != images[1]).any()


@pytest.mark.parametrize(
    "config",
    [None, SyntheticFacesConfig(), SyntheticFacesConfig().name]
    + [SyntheticFacesConfig(train_size=2000, test_size=1000, seed=0)],
)
def test_a_config_may_be_the_one_that_the_builder_has(tmp_path, config):
    builder = SyntheticFaces(config=config, data_dir=tmp_path)
    assert builder.builder_config.sizes == {"train": 2000, "test": 1000}
    assert "train2000_validation0_test1000_seed0" in str(builder.data_path)


def test_config_name_tells_configs_apart():
    settings = dict(train_size=10, validation_size=2, test_size=5, seed=1)
    names = {SyntheticFacesConfig(**settings).name}
    for key in settings:
        other = {**settings, key: settings[key] + 1}
        names.add(SyntheticFacesConfig(**other).name)
    assert len(names) == 5


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"count": -1}, "`count` .* Received: -1"),
        ({"count": 2.0}, "`count` .* Received: 2.0"),
        ({"seed": -3}, "`seed` .* Received: -3"),
        ({"seed": None}, "`seed` .* Received: None"),
        ({"image_size": 8}, "`image_size` .* Received: 8"),
        ({"start": -1}, "`start` .* Received: -1"),
        ({"split": "dev"}, "`split` .* Received: 'dev'"),
    ],
)
def test_draw_faces_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        draw_faces(**{"count": 1, "seed": 0, **arguments})


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"train_size": 0}, "`train_size` .* Received: 0"),
        ({"validation_size": -1}, "`validation_size` .* Received: -1"),
        ({"test_size": 0}, "`test_size` .* Received: 0"),
        ({"seed": True}, "`seed` .* Received: True"),
        ({"name": "mine"}, "`name` .* Received: 'mine'"),
    ],
)
def test_config_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticFacesConfig(**arguments)
