import keras
import numpy as np
import pytest

from keras_noisyfer.networks import (
    IMAGE_SIZES,
    Decoder,
    Discriminator,
    Encoder,
)
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask

pytestmark = pytest.mark.usefixtures("whole_networks")

CIFAR10 = [CategoricalTask("object", 10, annotators=3)]
MIXED = [
    CategoricalTask("expression", 7, annotators=2),
    ContinuousTask("affect", ("valence", "arousal")),
]


def network_inputs(network, count=2):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, *network.image_shape))
    if isinstance(network, Encoder):
        return images.astype("float32")
    inputs = {
        "noise_code": rng.normal(size=(count, network.noise_code_size)),
        "labels": {
            task.name: rng.normal(
                size=(count, task.annotators, task.num_outputs)
            )
            for task in network.tasks
        },
    }
    if isinstance(network, Discriminator):
        inputs["image"] = images
    return keras.tree.map_structure(lambda x: x.astype("float32"), inputs)


def trainable_weights(model):
    return sum(int(np.prod(each.shape)) for each in model.trainable_variables)


def test_weight_counts_are_the_releases():
    assert trainable_weights(Encoder(CIFAR10, (32, 32, 3))) == 15_357_990
    assert trainable_weights(Decoder(CIFAR10, (32, 32, 3))) == 11_087_491
    discriminator = Discriminator(CIFAR10, (32, 32, 3))
    image_score = 513  # belongs to the release's image module
    assert trainable_weights(discriminator.image_stream) == (
        14_566_082 - image_score
    )
    assert trainable_weights(discriminator) == (
        14_566_082 + 2_153_473 + 3 * 2_107_393 + 11_020_289
    )


@pytest.mark.parametrize(
    # The channels are those of the first convolution and the last alone.
    ("size", "channels"),
    [*((size, 3) for size in IMAGE_SIZES), (48, 1)],
)
def test_shapes(size, channels):
    shape = (size, size, channels)
    options = {"width": 1 / 16, "noise_code_size": 5}
    encoder = Encoder(MIXED, shape, batch_normalization=True, **options)
    outputs = encoder(network_inputs(encoder))
    assert outputs["mean"].shape == (2, 5)
    assert outputs["log_variance"].shape == (2, 5)
    assert outputs["labels"]["expression"].shape == (2, 2, 7)
    assert outputs["labels"]["affect"].shape == (2, 1, 2)

    decoder = Decoder(MIXED, shape, **options)
    images = decoder(network_inputs(decoder))
    assert images.shape == (2, *shape)
    assert np.abs(images).max() <= 1.0

    discriminator = Discriminator(MIXED, shape, **options)
    assert discriminator(network_inputs(discriminator)).shape == (2, 6)
    assert discriminator.score_names == (
        "image",
        "noise_code",
        "expression_0",
        "expression_1",
        "affect_0",
        "joint",
    )


@pytest.mark.parametrize("network_class", [Encoder, Decoder, Discriminator])
def test_saving(network_class, tmp_path):
    network = network_class(MIXED, (48, 48, 1), width=1 / 16)
    inputs = network_inputs(network)
    # A training call moves batch statistics and singular vectors.
    network(inputs, training=True)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert type(loaded) is network_class
    assert loaded.get_config() == network.get_config()
    for expected, actual in zip(
        keras.tree.flatten(network(inputs)),
        keras.tree.flatten(loaded(inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(expected, actual)


def test_streams_see_only_their_own_label():
    network = Discriminator(MIXED, (32, 32, 3), width=1 / 16)
    inputs = network_inputs(network)
    before = np.array(network(inputs))
    inputs["labels"]["expression"][:, 1] += 1.0
    changed = np.abs(network(inputs) - before).max(axis=0) > 1e-6
    names = np.array(network.score_names)
    assert set(names[changed]) == {"expression_1", "joint"}


def test_mixed_precision_keeps_outputs_in_float32():
    policy = "mixed_bfloat16"
    for network_class in (Encoder, Decoder, Discriminator):
        network = network_class(MIXED, (32, 32, 3), width=1 / 16, dtype=policy)
        for output in keras.tree.flatten(network(network_inputs(network))):
            assert keras.backend.standardize_dtype(output.dtype) == "float32"
        assert network.dtype_policy.name == policy


@pytest.mark.parametrize(
    "shape",
    [(33, 33, 3), (32, 48, 3), (32, 32), 32, (32, 32, 4), (512, 512, 3)],
)
@pytest.mark.parametrize("network_class", [Encoder, Decoder, Discriminator])
def test_rejects_image_shapes(network_class, shape):
    with pytest.raises(ValueError, match="`image_shape` must be.*Received"):
        network_class(MIXED, shape)


def test_rejects_width_and_tasks():
    for width in (0, float("nan"), "1", None):
        with pytest.raises(ValueError, match="`width` must be above 0"):
            Encoder(MIXED, (32, 32, 3), width=width)
    with pytest.raises(ValueError, match="`tasks` must be one or more"):
        Encoder([], (32, 32, 3))


@pytest.mark.parametrize("network", [Encoder, Decoder, Discriminator])
def test_misspelled_arguments_are_refused(network):
    message = rf"of {network.__name__} must be some of .*width.*: wdith$"
    with pytest.raises(ValueError, match=message):
        network(CIFAR10, (32, 32, 3), width=1 / 16, wdith=0.25)


def test_channels_come_last():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="must be 'channels_last'") as e:
            Encoder(MIXED, (32, 32, 3))
    finally:
        keras.config.set_image_data_format("channels_last")
    assert "\n" not in str(e.value)
