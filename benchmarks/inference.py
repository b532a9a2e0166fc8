"""How long a prediction takes: the encoder alone, in Keras and as SavedModel.

The CIFAR-10 model (32x32) and the emotion model (64x64), at widths 0.25 and
1.0. Keras: `predict_on_batch` of float images. SavedModel: the signature
`serving_default` of uint8 images, which it scales itself.
"""

import itertools
import os
import pathlib
import tempfile
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from train_step import environment, make_parser, make_tasks

from keras_noisyfer import Encoder, MultiTaskModel, export
from keras_noisyfer.results import write_json


def latencies(function, inputs, seconds, minimum=20):
    """Milliseconds of repeated calls: median, 99th percentile, number."""
    # The first calls trace and settle.
    for _ in range(3):
        function(inputs)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < minimum:
        start = time.perf_counter()
        function(inputs)
        times.append(1000 * (time.perf_counter() - start))
    p50, p99 = np.percentile(times, [50, 99])
    return {"p50_ms": p50, "p99_ms": p99, "calls": len(times)}


def measure(name, width, batch_sizes, seconds):
    tasks, size = make_tasks(name)
    shape = (size, size, 3)
    model = MultiTaskModel(Encoder(tasks, shape, width=width))
    generator = np.random.default_rng(0)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model" / "1"
        export(model, path)
        signature = tf.saved_model.load(path).signatures["serving_default"]
        for batch_size in batch_sizes:
            pixels = generator.integers(0, 256, (batch_size, *shape), "uint8")
            images = (pixels / 127.5 - 1).astype("float32")
            ways = {
                "keras": (model.predict_on_batch, images),
                "saved_model": (
                    lambda image: [
                        each.numpy() for each in signature(image=image).values()
                    ],
                    tf.constant(pixels),
                ),
            }
            for way, (function, inputs) in ways.items():
                result = {
                    "model": name,
                    "width": width,
                    "batch_size": batch_size,
                    "way": way,
                    **latencies(function, inputs, seconds),
                }
                results.append(result)
                print(
                    f"{name}, width {width}, batch {batch_size}, {way}: p50 "
                    f"{result['p50_ms']:.2f} ms, p99 {result['p99_ms']:.2f} ms",
                    flush=True,
                )
    return results


def main():
    parser = make_parser(__doc__, batch_sizes=(1, 256))
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="of each measurement"
    )
    flags = parser.parse_args()
    if flags.output:
        flags.output.parent.mkdir(parents=True, exist_ok=True)
    results = []
    for name, width in itertools.product(flags.models, flags.widths):
        results += measure(name, width, flags.batch_sizes, flags.seconds)
    if flags.output:
        write_json(
            flags.output, {"environment": environment(), "results": results}
        )


if __name__ == "__main__":
    main()
