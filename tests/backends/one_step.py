"""Takes training steps on the backend that is set; run by test_jax.py.

`python one_step.py METHOD MODEL.keras OUTPUT.npz`: makes the model unless the
file is there, takes two steps without random numbers, and writes the losses
and the weights after them.
"""

import pathlib
import sys

import keras
import numpy as np
from keras import ops

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    CoTeaching,
    CrowdLayer,
    Encoder,
    JointDistributionGAN,
    LTNet,
    Mixup,
)
from keras_noisyfer.models import decoder_terms, joint_distribution_gan

TASKS = {
    "expression": CategoricalTask("expression", 3, annotators=2),
    "affect": ContinuousTask("affect", ("valence", "arousal")),
}


def make_encoder(tasks, seed, regularized=False):
    keras.utils.set_random_seed(seed)
    options = {"width": 1 / 16, "dropout": 0.0, "name": f"e{seed}"}
    if regularized:
        options["backbone"] = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Conv2D(4, 3, 8, kernel_regularizer="l2"),
                keras.layers.ActivityRegularization(l2=0.1),
            ]
        )
    return Encoder(tasks, (32, 32, 3), **options)


def make_model(method):
    tasks = list(TASKS.values())
    optimizers = [keras.optimizers.SGD(0.01)]
    if method == "joint_distribution_gan":
        model = JointDistributionGAN(make_encoder(tasks, 1), lambda_joint=1.0)
        optimizers.append(keras.optimizers.SGD(0.02))
    elif method == "automatic_weights":
        model = JointDistributionGAN(
            make_encoder(tasks, 1), lambda_joint="auto", gamma="auto"
        )
        optimizers.append(keras.optimizers.SGD(0.02))
    elif method == "remedies":
        model = JointDistributionGAN(
            make_encoder(tasks, 1, regularized=True),
            joint_every=2,
            ramp_epochs=3,
            reconstruction_weight=5.0,
            kl_weight=1e-3,
            auxiliary_weight=1.0,
            mixup=Mixup(),
        )
        averages = {"use_ema": True, "ema_momentum": 0.5}
        optimizers = [keras.optimizers.SGD(0.01, **averages) for _ in range(2)]
    elif method == "co_teaching":
        model = CoTeaching(
            make_encoder(tasks, 1),
            second_encoder=make_encoder(tasks, 2),
            forget_rate=0.25,
            forget_epochs=1,
        )
        optimizers.append(keras.optimizers.Adam(1e-3))
    else:
        latent = [task.with_annotators(1) for task in tasks]
        kind = CrowdLayer if method == "crowd_layer" else LTNet
        options = {"warmup_epochs": 0} if kind is LTNet else {}
        model = kind(make_encoder(latent, 1), tasks, **options)
    model.compile(*optimizers)
    return model


def make_batch(model, count=8):
    generator = np.random.default_rng(0)
    images = generator.uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    labels = {
        "expression": generator.integers(-1, 3, (count, 2)).astype("int32"),
        "affect": generator.uniform(-1, 1, (count, 1, 2)).astype("float32"),
    }
    labels["affect"][0] = np.nan
    return images, {task.name: labels[task.name] for task in model.tasks}


def main(method, path, output):
    # The backends draw other numbers from the same seed.
    joint_distribution_gan.draw_noise = lambda shape, _: ops.full(shape, 0.5)
    decoder_terms.draw_shift = lambda *_: ops.convert_to_tensor([1, -1])
    Mixup.draw = lambda self, size: (
        ops.convert_to_tensor(0.75),
        ops.flip(ops.arange(size)),
    )
    if not pathlib.Path(path).exists():
        make_model(method).save(path)
    model = keras.saving.load_model(path)
    images, labels = make_batch(model)
    losses = {}
    weights = np.linspace(0.0, 2.0, len(images))
    for index in range(2):
        logs = model.train_on_batch(images, labels, weights, return_dict=True)
        losses.update(
            (f"loss/{index}/{name}", np.asarray(each))
            for name, each in logs.items()
        )
    predictions = model.predict(images, verbose=0)
    losses.update((f"loss/{k}", each) for k, each in predictions.items())
    weights = {
        f"weight/{variable.path}": np.asarray(variable.value)
        for variable in model.variables
        if "seed" not in variable.path
    }
    np.savez(output, **losses, **weights)


if __name__ == "__main__":
    main(*sys.argv[1:])
