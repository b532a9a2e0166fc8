"""ONNX and LiteRT files, by Keras' own export."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_noisyfer.arguments import one_line
from keras_noisyfer.batches import check_inputs, is_tf_dataset
from keras_noisyfer.networks.network import copy_weights, nested_layers
from keras_noisyfer.typing import PathLike, Shape
from keras_noisyfer.value_checks import MAX_VALUE

if TYPE_CHECKING:
    from keras_noisyfer.models import MultiTaskModel

MAX_CALIBRATION_IMAGES = 256
# Of a format, the modules it needs; all come with the extra `export`.
_CONVERTERS = {"onnx": ("onnx", "tf2onnx")}


def require_converters(formats: Iterable[str]) -> None:
    """Raises `ImportError` if what formats need is not installed."""
    for name in formats:
        for module in _CONVERTERS.get(name, ()):
            if importlib.util.find_spec(module) is None:
                raise ImportError(
                    f"The format '{name}' needs the extra `export`: "
                    "pip install 'keras_noisyfer[export]'. Not installed: "
                    f"{module}"
                )


def calibration_images(calibration: Any, image_shape: Shape) -> list[Any]:
    """The first images of a data set as pixels, to calibrate by.

    Raises:
        ValueError: if it has none of the shape in [-1, 1].
    """
    received = type(calibration).__name__
    if is_tf_dataset(calibration):
        spec = keras.tree.flatten(calibration.element_spec)[0]
        received = f"images of shape {tuple(spec.shape[1:])}"
        if tuple(spec.shape[1:]) == tuple(image_shape):
            images = _first_pixels(calibration)
            if images:
                return images
            received = "an empty data set"
    raise ValueError(
        "`calibration` must be a tf.data.Dataset of (image, labels) batches "
        f"for the format 'litert_int8', with images of shape {image_shape}. "
        f"Received: {received}"
    )


def write_onnx(model: MultiTaskModel, path: PathLike) -> None:
    """Writes the predictor as an ONNX file; a `ValueError` if it cannot."""
    import onnx

    _portable_model(model).export(path, format="onnx", verbose=False)
    inputs = [each.name for each in onnx.load(path).graph.input]
    if inputs != ["image"]:
        # Keras makes inputs of tensors that a layer keeps beside its weights.
        raise ValueError(
            "`formats` must be without 'onnx' for a model with layers that "
            "keep tensors of their own, such as an adapted Normalization, in "
            "whose place `keras.layers.Rescaling` will do. "
            f"Received: a file with the inputs {one_line(', '.join(inputs))}"
        )


def write_litert(
    model: MultiTaskModel, path: PathLike, images: Any = None
) -> None:
    """Writes the predictor as a LiteRT file; in int8 with the images of
    `calibration_images`."""
    options = {}
    if images is not None:
        options = {
            "optimizations": [tf.lite.Optimize.DEFAULT],
            "representative_dataset": lambda: (
                [image[np.newaxis]] for image in images
            ),
        }
    _portable_model(model).export(
        path, format="litert", verbose=False, **options
    )


def _portable_model(model):
    """The predictor from pixels of the encoder's size to the consensus.

    Neither format can scale images as the SavedModel does, with antialiasing.
    """
    images = keras.Input(model.encoder.image_shape, dtype="uint8", name="image")
    scaled = ops.cast(images, "float32") / 127.5 - 1.0
    outputs = _float32_copy(model.predictor)(scaled)["labels"]
    predicted = model.predict_consensus(outputs)
    portable = keras.Model(
        images,
        {
            name: layers.Identity(name=name)(values)
            for name, values in predicted.items()
        },
    )
    # Keras exports no model that was never called.
    portable(ops.zeros((1, *model.encoder.image_shape), "uint8"))
    return portable


def _float32_copy(network):
    """A network that no interpreter lacks the types for."""
    policies = {each.dtype_policy.name for each in nested_layers(network)}
    if policies == {"float32"}:
        return network
    config = _in_float32(keras.saving.serialize_keras_object(network))
    copy = keras.saving.deserialize_keras_object(config)
    copy_weights(network, copy)
    return copy


def _in_float32(config):
    """A configuration in which all policies are float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {name: _in_float32(each) for name, each in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_in_float32(each) for each in config)
    return config


def _first_pixels(calibration):
    images = []
    for batch in calibration:
        pixels = np.asarray(check_inputs(batch[0]), "float32")
        lowest, highest = pixels.min(), pixels.max()
        if not -MAX_VALUE <= lowest <= highest <= MAX_VALUE:
            raise ValueError(
                "`calibration` must have images in [-1, 1], as `fit`. "
                f"Received: values from {lowest:.4g} to {highest:.4g}"
            )
        pixels = (pixels + 1.0) * 127.5
        images.extend(np.round(pixels).clip(0, 255).astype("uint8"))
        if len(images) >= MAX_CALIBRATION_IMAGES:
            break
    return images[:MAX_CALIBRATION_IMAGES]
