"""Loads weights of the authors' PyTorch release into the networks.

The release keeps each network's weights in a state dict: arrays by name, in
PyTorch's layout. Its discriminator is several modules, one a stream and one
for the joint score, each with a state dict of its own.
"""

import collections
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_noisyfer.arguments import one_line
from keras_noisyfer.files import check_archive, read_npz
from keras_noisyfer.networks.decoder import Decoder
from keras_noisyfer.networks.discriminator import FILTERS, Discriminator
from keras_noisyfer.networks.encoder import VGG16_GROUPS, Encoder
from keras_noisyfer.networks.network import Network
from keras_noisyfer.typing import PathLike

# The release's largest network, the discriminator, has 0.13 GB.
MAX_BYTES = 2**30
# Earlier ones run code, or write where they must not, for files that are made
# to that end, `weights_only` or not.
MIN_TORCH = (2, 10)

# `convert` turns the arrays of these names into the variable's layout.
ReleaseWeight = collections.namedtuple(
    "ReleaseWeight", ["variable", "names", "convert"]
)


def load_release_weights(
    network: Network, state: Mapping[str, Any] | PathLike
) -> None:
    """Copies weights of the authors' release into a network.

    The network must have the release's shape: VGG-16 without batch
    normalization, and the width, hidden units and noise code that the
    weights were trained with.

    Args:
        network: An `Encoder`, `Decoder` or `Discriminator`.
        state: The state dict, or a path to it. For an encoder or decoder: a
            dict of arrays (NumPy or PyTorch) by name. For a discriminator: a
            dict of such dicts by module: `discriminator_x`,
            `discriminator_z0`, one `discriminator_z1...` a label stream in
            the order of the tasks, `discriminator_joint_xz`. A path ends in
            `.npz`, with names as `module/name` for a discriminator, or in
            `.pth`, which needs PyTorch 2.10 or later. Nothing but numbers is
            read, no code in a file is run, and what unpacks to more than
            1 GiB is refused.

    Raises:
        ValueError: if the network is of another kind, a file cannot be read,
            or a weight is missing from the state or has another shape. The
            network is then left as it was.
        ImportError: for a `.pth` file without PyTorch.
    """
    if isinstance(state, str) or hasattr(state, "__fspath__"):
        state = _read(str(state))
    weights: dict[str, Any] = _flatten(state)
    arrays = []
    for variable, names, convert in release_weights(network, weights):
        for name in names:
            if name not in weights:
                raise ValueError(
                    f"`state` must have the weight '{name}' for "
                    f"{type(network).__name__}. Received: {len(weights)} "
                    f"weights, such as {sorted(weights)[:3]}"
                )
        given = [np.asarray(weights[name]) for name in names]
        if any(each.dtype.kind not in "biuf" for each in given):
            raise ValueError(
                f"The weight {', '.join(map(repr, names))} of `state` must be "
                f"numbers. Received: {given[0].dtype}"
            )
        try:
            array = convert(*given)
        # Axes that are not there.
        except (ValueError, IndexError):
            array = None
        if array is None or array.shape != tuple(variable.shape):
            raise ValueError(
                f"The weight {', '.join(map(repr, names))} of `state` must "
                f"fit a variable of shape {tuple(variable.shape)}. "
                f"Received: shape={given[0].shape}"
            )
        arrays.append((variable, array))
    for variable, array in arrays:
        variable.assign(array)


def release_weights(
    network: Network, state: Mapping[str, Any]
) -> list[ReleaseWeight]:
    """The correspondence of a network's variables to the release's weights.

    Args:
        network: An `Encoder`, `Decoder` or `Discriminator`.
        state: The flat state: arrays by name, or by `module/name` for a
            discriminator, whose label streams are found by its names.

    Returns:
        A list of `ReleaseWeight(variable, names, convert)`: `convert` turns
        the arrays of those names into the variable's layout.
    """
    if isinstance(network, Encoder):
        return _encoder_weights(network)
    if isinstance(network, Decoder):
        return _decoder_weights(network)
    if isinstance(network, Discriminator):
        return _discriminator_weights(network, state)
    raise ValueError(
        "`network` must be an Encoder, Decoder or Discriminator. "
        f"Received: {type(network).__name__}"
    )


def _encoder_weights(encoder):
    if encoder.backbone is not None:
        raise ValueError(
            "`network` must be an Encoder without a `backbone`, as in the "
            f"release. Received: {encoder.backbone.name!r}"
        )
    if encoder.batch_normalization:
        raise ValueError(
            "`network` must have no batch normalization, as in the release. "
            "Received: an Encoder with batch_normalization=True"
        )
    weights = []
    for group, filters in enumerate(VGG16_GROUPS, start=1):
        for index in range(len(filters)):
            layer = encoder.get_layer(f"group_{group}_convolution_{index + 1}")
            weights += _plain(layer, f"conv_block{group}.{2 * index}")
    features = encoder.get_layer("flatten").input.shape[1:]
    embedding = encoder.get_layer("embedding_1")
    weights += [
        ReleaseWeight(
            embedding.kernel,
            ["embedding.0.weight"],
            lambda array: _first_dense(array, features),
        ),
        ReleaseWeight(embedding.bias, ["embedding.0.bias"], np.asarray),
    ]
    for layer, name in (
        ("embedding_2", "embedding.3"),
        ("mean", "mean_layer"),
        ("log_variance", "logvar_layer"),
        ("label_streams", "c_layer"),
    ):
        weights += _plain(encoder.get_layer(layer), name)
    return weights


def _decoder_weights(decoder):
    weights = _spectral(decoder.get_layer("projection"), "linear")
    names = [
        layer.name.removesuffix("_normalization")
        for layer in decoder.layers
        if layer.name.endswith("_normalization")
    ]
    for index, name in enumerate(names, start=1):
        weights += _spectral(decoder.get_layer(name), f"deconv{index}")
        layer = decoder.get_layer(f"{name}_normalization")
        weights += [
            ReleaseWeight(variable, [f"bn{index}.0.{part}"], np.asarray)
            for variable, part in (
                (layer.gamma, "weight"),
                (layer.beta, "bias"),
                (layer.moving_mean, "running_mean"),
                (layer.moving_variance, "running_var"),
            )
        ]
    last = decoder.get_layer("image_convolution")
    return weights + _spectral(last, f"deconv{len(names) + 1}")


def _discriminator_weights(discriminator, state):
    stream, head = discriminator.image_stream, discriminator.score_head
    weights = []
    for index in range(1, len(FILTERS) + 2):
        block = stream.get_layer(f"block_{index}")
        name = f"discriminator_x/DBlock{index - 1 or ''}"
        weights += _spectral(block.convolution_1, f"{name}.conv1")
        weights += _spectral(block.convolution_2, f"{name}.conv2")
        if block.shortcut is not None:
            weights += _spectral(block.shortcut, f"{name}.conv_sc")
    attention = stream.get_layer("attention")
    name = "discriminator_x/attention"
    for part in ("theta", "phi", "g", "o"):
        weights += _spectral(getattr(attention, part), f"{name}.{part}")
    weights.append(
        ReleaseWeight(attention.scale, [f"{name}.gamma"], np.asarray)
    )
    weights += _spectral(
        head.get_layer("image_score"), "discriminator_x/score_x"
    )

    modules = list(dict.fromkeys(name.split("/")[0] for name in state))
    modules = [name for name in modules if name.startswith("discriminator_z")]
    streams = discriminator.score_names[1:-1]
    if len(modules) != len(streams):
        raise ValueError(
            "`state` must have one module a stream: discriminator_z0 and "
            f"{len(streams) - 1} for the labels. Received: {modules}"
        )
    for module, name in zip(modules, streams, strict=True):
        mlp = head.get_layer(f"{name}_stream")
        weights += _mlp(mlp, f"{module}/z_mlp")
        weights += _spectral(
            head.get_layer(f"{name}_score"), f"{module}/score_z"
        )
    joint = "discriminator_joint_xz"
    weights += _mlp(head.get_layer("joint_stream"), f"{joint}/z_x_mlp")
    weights += _spectral(head.get_layer("joint_score"), f"{joint}/score_x_z")
    return weights


def _mlp(layer, name):
    # The release numbers the Dense layers branch by branch, two a branch.
    numbers = range(1, 2 * layer.num_branches + 1)
    return [
        *_spectral(layer.projection, f"{name}.linear"),
        *_branches(layer.branch_inputs, name, numbers[::2]),
        *_branches(layer.branch_outputs, name, numbers[1::2]),
    ]


def _branches(layer, name, numbers):
    def stacked(variable, part, convert):
        names = [f"{name}.linear{number}.{part}" for number in numbers]
        return ReleaseWeight(
            variable,
            names,
            lambda *arrays: np.stack(list(map(convert, arrays))),
        )

    return [
        stacked(layer.kernel, "weight_orig", _kernel),
        stacked(layer.left_vector, "weight_u", _column),
        stacked(layer.right_vector, "weight_v", _column),
        stacked(layer.bias, "bias", lambda array: array[None]),
    ]


def _plain(layer, name):
    return [
        ReleaseWeight(layer.kernel, [f"{name}.weight"], _kernel),
        ReleaseWeight(layer.bias, [f"{name}.bias"], np.asarray),
    ]


def _spectral(layer, name):
    # The size of the kernel but for its input and output channels.
    area = tuple(layer.kernel.shape[:-2])
    weights = [
        ReleaseWeight(layer.kernel, [f"{name}.weight_orig"], _kernel),
        ReleaseWeight(layer.left_vector, [f"{name}.weight_u"], _column),
        ReleaseWeight(
            layer.right_vector,
            [f"{name}.weight_v"],
            lambda array: _right_vector(array, area),
        ),
    ]
    if layer.use_bias:
        weights.append(ReleaseWeight(layer.bias, [f"{name}.bias"], np.asarray))
    return weights


def _kernel(array):
    # (out, in) to (in, out); (a, b, height, width) to (height, width, b, a).
    if array.ndim == 2:
        return array.T
    return array.transpose(2, 3, 1, 0)


def _first_dense(array, features):
    # PyTorch flattens channels first.
    height, width, channels = features
    array = array.reshape(-1, channels, height, width)
    return array.transpose(2, 3, 1, 0).reshape(-1, array.shape[0])


def _right_vector(array, area):
    # (in, height, width) to (height, width, in), both flat.
    return _column(np.moveaxis(array.reshape(-1, *area), 0, -1))


def _column(array):
    return array.reshape(-1, 1)


def _read(path):
    if not os.path.isfile(path):
        raise ValueError(f"`state` must be a file. Received: {path}")
    if path.endswith(".npz"):
        return read_npz(path, MAX_BYTES)
    if path.endswith(".pth"):
        try:
            import torch
        except ImportError as error:
            raise ImportError(
                "Reading a `.pth` file needs PyTorch: `pip install torch`. "
                f"Received: {path}"
            ) from error
        return _read_torch(torch, path)
    raise ValueError(
        f"`state` must be a path ending in .npz or .pth. Received: {path}"
    )


def _read_torch(torch, path):
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if tuple(map(int, version.groups())) < MIN_TORCH:
        raise ValueError(
            "Reading a `.pth` file needs PyTorch "
            f"{'.'.join(map(str, MIN_TORCH))} or later, since earlier ones "
            f"may run code in it. Received: {torch.__version__}"
        )
    # What PyTorch wrote before 1.6 is no archive and not compressed.
    with open(path, "rb") as file:
        is_archive = file.read(2) == b"PK"
    if is_archive:
        check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return _as_arrays(state)
    # A damaged pickle can lead to any error at all; the advice of PyTorch's
    # is to trust the file.
    except Exception as error:
        reason = one_line(error, limit=100) or type(error).__name__
        raise ValueError(
            f"{path} must be a state dict of PyTorch, tensors alone. "
            f"Received: {reason}"
        ) from error


def _as_arrays(state):
    """A state dict with arrays, in whose place are no views of few values
    that are any number of them."""
    return {
        str(key): _as_arrays(value)
        if isinstance(value, dict)
        else _as_array(value)
        for key, value in state.items()
    }


def _as_array(tensor):
    array = np.asarray(tensor)
    if array.nbytes > MAX_BYTES:
        raise ValueError(f"a tensor of shape {array.shape}")
    return array


def _flatten(state):
    flat = {}
    for key, value in state.items():
        if isinstance(value, dict):
            flat.update(
                (f"{key}/{name}", array)
                for name, array in _flatten(value).items()
            )
        else:
            # The prefix that DataParallel adds.
            flat[key.removeprefix("module.")] = value
    return flat
