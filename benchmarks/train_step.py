"""How fast the method trains, and how near its floor that is.

Each measurement has a process of its own: a model is built, takes its first
adversarial step and trains for some epochs of a few steps, of which the first
does not count. Beside the rate, the JSON file has the seconds from the first
line of the model to the end of the first step, the peak memory, and the
floating-point operations a second that the step's floor (`multiply_adds.py`)
comes to, against those of a large matrix product in the same process.
"""

import argparse
import itertools
import json
import os
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from keras import ops
from multiply_adds import step_multiply_adds

from keras_noisyfer import (
    CategoricalTask,
    ContinuousTask,
    Encoder,
    JointDistributionGAN,
)
from keras_noisyfer.results import write_json
from noisyfer.flags import AUTO, number_flag

MODELS = ("cifar10", "emotion")
DTYPES = ("float32", "mixed_bfloat16")
MATRIX_SIZE = 2048
MATRIX_REPEATS = 5


class EpochTimes(keras.callbacks.Callback):
    """Keeps the seconds of each epoch."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self._start)


def make_parser(description, batch_sizes):
    """The flags that the benchmarks of single calls share."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, default=MODELS)
    width = number_flag(float, above=0)
    add("--widths", nargs="+", type=width, default=(0.25, 1.0))
    # A concordance needs two elements.
    size = number_flag(int, minimum=1 if 1 in batch_sizes else 2)
    add("--batch-sizes", nargs="+", type=size, default=batch_sizes)
    add("--output", type=pathlib.Path, help="JSON file")
    return parser


def make_tasks(model):
    """The tasks and the image size of a model."""
    if model == "cifar10":
        return [CategoricalTask("object", 10, annotators=3)], 32
    affect = ContinuousTask("affect", ("valence", "arousal"))
    return [CategoricalTask("expression", 7), affect], 64


def measure(
    model, width, batch_size, dtype, steps, epochs, jit_compile, automatic
):
    """One measurement, in this process; see the module's docstring."""
    tasks, size = make_tasks(model)
    generator = np.random.default_rng(0)
    shape = (size, size, 3)
    images = generator.uniform(-1, 1, (batch_size, *shape)).astype("float32")
    labels = {
        task.name: generator.integers(
            0, task.num_classes, (batch_size, task.annotators), "int32"
        )
        if isinstance(task, CategoricalTask)
        else generator.uniform(-1, 1, (batch_size, 1, task.num_outputs)).astype(
            "float32"
        )
        for task in tasks
    }
    memory_before = _peak_memory()

    start = time.perf_counter()
    weights = {}
    if automatic:
        weights["lambda_joint"] = AUTO
        # There is a gamma where there are tasks of both kinds.
        if model == "emotion":
            weights["gamma"] = AUTO
    gan = JointDistributionGAN(
        Encoder(tasks, shape, width=width, dtype=dtype),
        seed=0,
        dtype=dtype,
        **weights,
    )
    gan.compile(jit_compile=jit_compile)
    gan.train_on_batch(images, labels)
    first_step = time.perf_counter() - start

    def batches():
        while True:
            yield images, labels

    times = EpochTimes()
    gan.fit(
        batches(),
        steps_per_epoch=steps,
        epochs=epochs + 1,
        callbacks=[times],
        shuffle=False,
        verbose=0,
    )
    step_times = [seconds / steps for seconds in times.seconds[1:]]
    step = statistics.median(step_times)
    multiply_adds = step_multiply_adds(gan)
    peak = _matrix_product_rate(dtype)
    needed = 2 * multiply_adds["step"] * batch_size
    return {
        "model": model,
        "width": width,
        "batch_size": batch_size,
        "dtype": dtype,
        "backend": keras.backend.backend(),
        "device": keras.distribution.list_devices()[0],
        "jit_compile": gan.jit_compile,
        "automatic_weights": list(weights),
        "images_per_second": batch_size / step,
        "step_seconds": {
            "median": step,
            "min": min(step_times),
            "max": max(step_times),
        },
        "first_step_seconds": first_step,
        "memory_mib": {"before": memory_before, "peak": _peak_memory()},
        "parameters": {
            name: sum(
                int(np.prod(each.shape))
                for each in getattr(gan, name).trainable_variables
            )
            for name in ("encoder", "decoder", "discriminator")
        },
        "multiply_adds_per_image": multiply_adds,
        "flops": {
            "needed_per_second": needed / step,
            "matrix_product_per_second": peak,
            "share": needed / step / peak,
        },
    }


def _peak_memory():
    """Of the accelerator where there is one, otherwise of the process."""
    if keras.backend.backend() == "jax":
        import jax

        statistics_of_device = jax.devices()[0].memory_stats()
        if statistics_of_device:
            return statistics_of_device["peak_bytes_in_use"] / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mib():
    """Memory of this process at the moment."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/self/status has no VmRSS")


def _matrix_product_rate(dtype):
    """Floating-point operations a second of a large matrix product."""
    compute = keras.dtype_policies.get(dtype).compute_dtype
    matrix = keras.random.normal((MATRIX_SIZE, MATRIX_SIZE), seed=0)
    matrix = ops.cast(matrix, compute)
    rates = []
    for _ in range(MATRIX_REPEATS):
        start = time.perf_counter()
        product = ops.matmul(matrix, matrix)
        # The value is waited for.
        float(product[0, 0])
        rates.append(2 * MATRIX_SIZE**3 / (time.perf_counter() - start))
    return max(rates)


def environment():
    """What the numbers depend on."""
    versions = {"python": platform.python_version(), "keras": keras.__version__}
    for name in ("tensorflow", "jax"):
        if name in sys.modules:
            versions[name] = sys.modules[name].__version__
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def main():
    parser = make_parser(__doc__, batch_sizes=(64, 128))
    add = parser.add_argument
    add("--dtypes", nargs="+", choices=DTYPES, default=DTYPES)
    count = number_flag(int, minimum=1)
    add("--steps", type=count, default=3, help="steps an epoch")
    add("--epochs", type=count, default=5, help="epochs that count")
    add("--jit-compile", action="store_true", default=None)
    add("--automatic", action="store_true", help="balance lambda and gamma")
    add("--one", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        results = measure(**json.loads(flags.one))
        print(json.dumps({**results, "environment": environment()}))
        return
    if flags.output:
        flags.output.parent.mkdir(parents=True, exist_ok=True)
    results = []
    for model, width, batch_size, dtype in itertools.product(
        flags.models, flags.widths, flags.batch_sizes, flags.dtypes
    ):
        one = {
            "model": model,
            "width": width,
            "batch_size": batch_size,
            "dtype": dtype,
            "steps": flags.steps,
            "epochs": flags.epochs,
            "jit_compile": flags.jit_compile,
            "automatic": flags.automatic,
        }
        output = subprocess.run(
            [sys.executable, __file__, "--one", json.dumps(one)],
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        results.append(json.loads(output.splitlines()[-1]))
        last = results[-1]
        print(
            f"{model}, width {width}, batch {batch_size}, {dtype}: "
            f"{last['images_per_second']:.1f} images/s, first step "
            f"{last['first_step_seconds']:.1f} s, "
            f"{last['memory_mib']['peak']:.0f} MiB, "
            f"{100 * last['flops']['share']:.0f} % of the matrix product",
            flush=True,
        )
        if flags.output:
            write_json(flags.output, results)


if __name__ == "__main__":
    main()
