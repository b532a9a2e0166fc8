"""How fast the authors' own training step is, to compare with.

Runs the modules of a checkout of https://github.com/sanweiliti/noisyFER on
random images, with the PyTorch that is installed: the CIFAR-10 model at full
width, in float32, with its own step. Neither belongs to this project.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import sys
import time

import torch

SETTINGS = {
    "isTrain": True,
    "img_size": 32,
    "fc_layer": 512,
    "noise_dim": 100,
    "lr": 1e-4,
    "iter_G": 1,
    "iter_D": 2,
    "gan_start_epoch": 0,
    "lambda_class": 1.0,
    "lambda_gan": 0.4,
    "lambda_sx": 1.0,
    "lambda_sz0": 1.0,
    "lambda_sz1": 1.0,
    "lambda_sxz": 1.0,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=pathlib.Path, help="the checkout")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--output", type=pathlib.Path, help="JSON file")
    flags = parser.parse_args()
    sys.path.insert(0, str(flags.release))
    from model.inconsistent_label_model import InconsistLabelModel

    torch.manual_seed(0)
    start = time.perf_counter()
    model = InconsistLabelModel(argparse.Namespace(**SETTINGS))
    images = torch.rand(flags.batch_size, 3, 32, 32) * 2 - 1
    labels = torch.randint(0, 10, (5, flags.batch_size))
    batch = (images, list(labels[:3]), labels[3], labels[4])
    times = []
    for _ in range(flags.steps + 1):
        model.set_input(batch)
        model.optimize_params(epoch=1)
        times.append(time.perf_counter() - start)
        start = time.perf_counter()
    first_step, *times = times
    step = statistics.median(times)
    results = {
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "batch_size": flags.batch_size,
        "images_per_second": flags.batch_size / step,
        "step_seconds": {
            "median": step,
            "min": min(times),
            "max": max(times),
        },
        "first_step_seconds": first_step,
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / 1024,
    }
    print(json.dumps(results, indent=1))
    if flags.output:
        flags.output.parent.mkdir(parents=True, exist_ok=True)
        flags.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
