"""What data-parallel training on several GPUs should cost: a projection.

Reads the step time that `train_step.py` has measured on one GPU and adds the
all-reduce of the gradients (each GPU keeps its batch, the global batch grows):
on a ring each GPU sends `2 (n - 1) / n` times their bytes. Nothing overlaps,
and the input pipeline keeps up; both are assumptions, as the bandwidths are.
"""

import argparse
import json
import pathlib
import re

GPUS = (1, 2, 4, 8, 16, 32, 64)
GPUS_PER_MACHINE = 8
# Bytes a second and GPU, each way: NVLink 4 within a machine, and one
# 400 Gbit/s adapter a GPU between machines.
WITHIN_MACHINE = 450e9
BETWEEN_MACHINES = 50e9


def gradient_bytes(parameters, discriminator_steps=2):
    """Bytes of gradients that a step reduces, in float32."""
    generators = parameters["encoder"] + parameters["decoder"]
    updates = generators + discriminator_steps * parameters["discriminator"]
    return 4 * updates


def project(step_seconds, bytes_of_gradients):
    """Rows of the table: GPUs, bytes sent by each, seconds, efficiency."""
    rows = []
    for count in GPUS:
        sent = 2 * (count - 1) / count * bytes_of_gradients
        bandwidth = (
            WITHIN_MACHINE if count <= GPUS_PER_MACHINE else BETWEEN_MACHINES
        )
        seconds = sent / bandwidth
        total = step_seconds + seconds
        rows.append((count, sent, seconds, total, step_seconds / total))
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "measured", type=pathlib.Path, help="JSON file of train_step.py"
    )
    flags = parser.parse_args()
    for one in json.loads(flags.measured.read_text()):
        received = f"{one['backend']} on {one.get('device')}"
        if not re.match("jax on (gpu|cuda)", received):
            parser.error(
                f"`measured` must be of JAX on a GPU. Received: {received}"
            )
        print(
            f"\n{one['model']}, width {one['width']}, batch "
            f"{one['batch_size']} a GPU, {one['dtype']} (projection)"
        )
        print("GPUs  sent/GPU  all-reduce     step  efficiency  images/s")
        for count, sent, seconds, total, efficiency in project(
            one["step_seconds"]["median"], gradient_bytes(one["parameters"])
        ):
            rate = count * one["batch_size"] / total
            print(
                f"{count:4d}  {sent / 1e6:5.0f} MB  {1e3 * seconds:7.2f} ms  "
                f"{1e3 * total:4.1f} ms  {100 * efficiency:8.0f} %  {rate:8.0f}"
            )


if __name__ == "__main__":
    main()
