"""What the three networks share: configuration, image shapes, width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

import keras

from keras_noisyfer.arguments import check_number
from keras_noisyfer.distribution import is_distributed
from keras_noisyfer.typing import Shape, Tasks, Tensor

if TYPE_CHECKING:
    from keras_noisyfer.networks import Encoder

IMAGE_SIZES = (32, 48, 64, 96, 128, 256)
NOISE_CODE_SIZE = 100


def check_image_shape(image_shape: Shape) -> tuple[int, ...]:
    """Checks the shape of one image.

    Args:
        image_shape: `(height, width, channels)`.

    Returns:
        The shape as a tuple of integers.

    Raises:
        ValueError: if the image is not square, its size is not one of
            `IMAGE_SIZES`, or it has other than 1 or 3 channels; or if Keras
            is told that channels come first.
    """
    layout = keras.config.image_data_format()
    if layout != "channels_last":
        raise ValueError(
            "`keras.config.image_data_format()` must be 'channels_last', the "
            f"layout of the library's images. Received: {layout!r}"
        )
    if not isinstance(image_shape, (tuple, list)):
        image_shape = (image_shape,)
    shape = tuple(image_shape)
    if (
        len(shape) != 3
        or shape[0] != shape[1]
        or shape[0] not in IMAGE_SIZES
        or shape[2] not in (1, 3)
    ):
        raise ValueError(
            "`image_shape` must be (size, size, channels) with a size of "
            f"{', '.join(map(str, IMAGE_SIZES))} and 1 or 3 channels. "
            f"Received: {shape}"
        )
    return shape


def scale_units(units: int, width: float) -> int:
    """Number of units or filters at a width multiplier, at least 1.

    Raises:
        ValueError: if `width` is not a positive number.
    """
    check_number("width", width, above=0)
    return max(1, round(units * width))


def batch_normalization_layer(**kwargs: Any) -> keras.layers.Layer:
    """Batch normalization with the release's settings, over all replicas."""
    return keras.layers.BatchNormalization(
        momentum=0.9, epsilon=1e-5, synchronized=is_distributed(), **kwargs
    )


class Network(keras.Model):
    """A functional model that is made again from its arguments.

    Args:
        inputs: Symbolic inputs.
        outputs: Symbolic outputs.
        arguments: Dict of the subclass's constructor arguments. Each becomes
            an attribute and an entry of the configuration.
        dtype: The dtype policy that the layers were made with.
        **kwargs: `name`, `trainable`.
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        arguments: Mapping[str, Any],
        dtype: Any = None,
        **kwargs: Any,
    ):
        # Keras takes any name, and leaves a misspelled one out.
        unknown = sorted(set(kwargs) - {"name", "trainable"})
        if unknown:
            known = ", ".join([*arguments, "dtype", "name", "trainable"])
            raise ValueError(
                f"The arguments of {type(self).__name__} must be some of "
                f"{known}. Received: {', '.join(unknown)}"
            )
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.dtype_policy = keras.dtype_policies.get(dtype)
        for name, value in arguments.items():
            setattr(self, name, value)
        self._argument_names = tuple(arguments)

    def get_config(self) -> dict[str, Any]:
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy,
        }
        config.update(
            (each, getattr(self, each)) for each in self._argument_names
        )
        # A backbone's configuration tells of its own.
        frozen = [
            each.name
            for each in self.layers
            if not each.trainable and each not in config.values()
        ]
        if frozen:
            config["frozen"] = frozen
        return keras.saving.serialize_keras_object(config)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        config = keras.saving.deserialize_keras_object(config)
        frozen = config.pop("frozen", ())
        network = cls(**config)
        for name in frozen:
            network.get_layer(name).trainable = False
        return network


def copy_weights(source: keras.Layer, target: keras.Layer) -> None:
    """Gives a layer the weights of another one with its configuration."""
    target.set_weights(source.get_weights())
    adopt_weights(target)


def adopt_weights(layer: keras.Layer) -> None:
    """Lets layers heed weights that were assigned: `keras.layers.Normalization`
    computes with constants that it has made of its own."""
    for each in nested_layers(layer):
        if isinstance(each, keras.layers.Normalization):
            each.finalize_state()


def nested_layers(layer: keras.Layer) -> Iterator[keras.Layer]:
    """A layer, and those of a model that it is, at any depth."""
    yield layer
    for each in getattr(layer, "layers", ()):
        yield from nested_layers(each)


def label_inputs(tasks: Tasks) -> dict[str, Tensor]:
    """Symbolic encoded labels, a dict by task name."""
    return {
        task.name: keras.Input(
            (task.annotators, task.num_outputs), name=task.name
        )
        for task in tasks
    }


def check_network(
    argument: str,
    network: Any,
    network_class: type,
    like: Encoder | None = None,
    alike: Iterable[str] = (),
) -> None:
    """Checks a network that a model is given.

    Args:
        argument: Name of the argument.
        network: The network.
        network_class: What it must be an instance of.
        like: The encoder that it has to fit, or None.
        alike: Names of attributes that both must share.

    Raises:
        ValueError: if it is something else or does not fit.
    """
    if not isinstance(network, network_class):
        raise ValueError(
            f"`{argument}` must be {_article(network_class)}. "
            f"Received: {type(network).__name__}"
        )
    for name in alike:
        value = getattr(like, name)
        if getattr(network, name) != value:
            raise ValueError(
                f"`{argument}` must have the encoder's {name}={value}. "
                f"Received: {getattr(network, name)}"
            )


def _article(network_class):
    name = network_class.__name__
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def fit_network(
    argument: str,
    network: Network | None,
    network_class: type[Network],
    encoder: Encoder,
    used: bool = True,
) -> Any:
    """A decoder or discriminator that fits an encoder.

    Args:
        argument: Name of the argument that the network was given as.
        network: The network, or None for a new one.
        network_class: `Decoder` or `Discriminator`.
        encoder: An `Encoder`.
        used: Whether the model has such a network; without, it is None.

    Raises:
        ValueError: if the network does not fit the encoder, or is not used.
    """
    if not used:
        if network is not None:
            raise ValueError(
                f"`{argument}` must be None where `use_{argument}` is False. "
                f"Received: {network}"
            )
        return None
    names = ("tasks", "image_shape", "noise_code_size")
    if network is None:
        shared = {name: getattr(encoder, name) for name in names}
        return network_class(
            **shared, width=encoder.width, dtype=encoder.dtype_policy
        )
    check_network(argument, network, network_class, encoder, names)
    return network
