"""How many multiply-adds a training step of the method needs at least.

Counted are convolutions, Dense layers and attention products, those of a
network by calling it on one image. A backward pass costs a forward pass for
the gradient with respect to the weights, and one for that with respect to the
input, where they are needed:

| part | forward | weights | input |
|---|---|---|---|
| encoder, decoder | once | yes | yes |
| discriminator's update, each time, both tuples | once | yes | yes |
| generators' update: scores of both tuples | once | no | yes |
| generators' update: image stream, decoded image | once | no | yes |
| generators' update: image stream, real image | once | no | no |

The first layer's gradient with respect to real images is not needed, but
neither counted apart: it is below 1 %. Power iterations (which do not grow
with the batch), pooling, normalization and activations are left out.
"""

import keras
import numpy as np
from keras import ops

from keras_noisyfer.layers import SelfAttention


def step_multiply_adds(model):
    """Multiply-adds of one adversarial step, for each image of the batch.

    Args:
        model: A `JointDistributionGAN`.

    Returns:
        Dict of integers: the forward passes `encoder`, `decoder`,
        `image_stream`, `score_head`, and `step`, what a whole step needs.
    """
    tasks = model.tasks
    labels = {
        task.name: np.zeros((1, task.annotators, task.num_outputs), "float32")
        for task in tasks
    }
    image = np.zeros((1, *model.encoder.image_shape), "float32")
    noise_code = np.zeros((1, model.encoder.noise_code_size), "float32")
    stream = model.discriminator.image_stream
    features = np.zeros((1, stream.output.shape[-1]), "float32")
    variables = {"noise_code": noise_code, "labels": labels}
    counts = {
        "encoder": count(model.encoder, image),
        "decoder": count(model.decoder, variables),
        "image_stream": count(stream, image),
        "score_head": count(
            model.discriminator.score_head,
            {"image_features": features, **variables},
        ),
    }
    discriminator = counts["image_stream"] + counts["score_head"]
    counts["step"] = (
        3 * (counts["encoder"] + counts["decoder"])
        + model.discriminator_steps * 2 * 3 * discriminator
        + 2 * 2 * counts["score_head"]
        + (2 + 1) * counts["image_stream"]
    )
    return counts


def count(network, inputs):
    """Multiply-adds of a network's forward pass on one image."""
    total = 0

    def counting(layer, call):
        def counted(inputs, *args, **kwargs):
            nonlocal total
            outputs = call(inputs, *args, **kwargs)
            total += _of_layer(layer, inputs, outputs)
            return outputs

        return counted

    hooked = [
        layer
        for layer in network._flatten_layers()
        if hasattr(layer, "kernel") or isinstance(layer, SelfAttention)
    ]
    for layer in hooked:
        layer.call = counting(layer, layer.call)
    try:
        network(inputs, training=False)
    finally:
        for layer in hooked:
            del layer.call
    return total


def _of_layer(layer, inputs, outputs):
    if isinstance(layer, SelfAttention):
        positions = int(np.prod(inputs.shape[1:3]))
        widths = layer.theta.filters + layer.g.filters
        return positions * (positions // 4) * widths
    kernel = int(ops.size(layer.kernel))
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return kernel * int(np.prod(inputs.shape[1:3]))
    if isinstance(layer, keras.layers.Conv2D):
        return kernel * int(np.prod(outputs.shape[1:3]))
    return kernel
