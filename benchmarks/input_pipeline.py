"""How many images a second the input pipeline delivers, and in what memory.

Draws faces, writes them as aligned 256x256 and 64x64 JPEG files, and reads them
as training does: shuffled, decoded, scaled to 64x64, batched, augmented. Beside
each rate stands that of `tf.io.decode_jpeg` alone on the same files. With
`--memory-files N` it also streams N files and prints the peak memory.
"""

import argparse
import io
import os
import pathlib
import resource
import statistics
import tempfile
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_noisyfer.datasets import (
    EXPRESSIONS,
    ImageFiles,
    ImportReport,
    LabelledImages,
    check_image_files,
    draw_faces,
    face_affine,
)
from keras_noisyfer.results import write_json
from keras_noisyfer.tasks import CategoricalTask, ContinuousTask
from noisyfer.flags import number_flag

TASKS = [
    CategoricalTask("expression", class_names=EXPRESSIONS),
    ContinuousTask("affect", dimensions=("valence", "arousal")),
]
SHAPE = (64, 64, 3)
BATCH_SIZE = 128
DISTINCT = 500


def encoded_faces(size):
    """Distinct faces as JPEG bytes, quality 95."""
    encoded = []
    for image in draw_faces(DISTINCT, seed=0, image_size=size)["image"]:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=95)
        encoded.append(buffer.getvalue())
    return encoded


def write_files(folder, faces, count):
    names = []
    for index in range(count):
        # A thousand files a folder, as data sets of this size have.
        name = f"{index // 1000:03d}/{index:06d}.jpg"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(faces[index % len(faces)])
        names.append(name)
    return names


def labelled(images):
    count = len(images.names)
    labels = {
        "expression": np.arange(count) % len(EXPRESSIONS),
        "affect": np.zeros((count, 2), "float32"),
    }
    return LabelledImages(images, labels, TASKS)


def rate(dataset, repeats):
    """Median, lowest and highest images a second over whole epochs."""
    rates = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        count = sum(int(batch.shape[0]) for batch in dataset)
        rates.append(count / (time.perf_counter() - start))
    # In the first epoch the functions are traced and compiled.
    rates = rates[1:]
    return {
        "images_per_second": statistics.median(rates),
        "lowest": min(rates),
        "highest": max(rates),
    }


def training(data):
    batches = data.batches(SHAPE, BATCH_SIZE, True, face_affine)
    return batches.map(lambda images, labels: images)


def decoding_alone(folder, names):
    def decode(path):
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        # One number an image: the pixels are not copied into a batch.
        return tf.size(image)

    paths = [str(folder / name) for name in names]
    dataset = tf.data.Dataset.from_tensor_slices(paths)
    # In parallel as training is.
    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = dataset.map(decode, os.cpu_count()).batch(BATCH_SIZE)
    return dataset.with_options(options)


def measure_rates(folder, count, repeats):
    rates = {}
    for size in (256, 64):
        faces = encoded_faces(size)
        root = folder / str(size)
        names = write_files(root, faces, count)
        alone = rate(decoding_alone(root, names), repeats)
        files = rate(training(labelled(ImageFiles(root, names))), repeats)
        rates[f"decode_jpeg alone, {size}x{size} files"] = alone
        rates[f"training from {size}x{size} files"] = files
    return rates


def peak_mebibytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_memory(folder, count):
    root = folder / "many"
    names = write_files(root, encoded_faces(64), count)
    before = peak_mebibytes()
    start = time.perf_counter()
    check_image_files(root, names, ImportReport())
    checked = time.perf_counter()
    images = rate(training(labelled(ImageFiles(root, names))), 1)
    return {
        "files": count,
        "peak_mebibytes_before": before,
        "peak_mebibytes": peak_mebibytes(),
        "checked_per_second": count / (checked - start),
        **images,
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    positive = number_flag(int, minimum=1)
    parser.add_argument("--images", type=positive, default=8000)
    parser.add_argument("--repeats", type=positive, default=5)
    parser.add_argument(
        "--memory-files", type=number_flag(int, minimum=0), default=0
    )
    parser.add_argument("--output", metavar="FILE.json")
    flags = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        results = {"cores": os.cpu_count(), "settings": vars(flags)}
        # First, while the peak is still that of the imports.
        if flags.memory_files:
            memory = measure_memory(folder, flags.memory_files)
            results["memory"] = memory
            print(
                f"{memory['files']:,} files: peak memory "
                f"{memory['peak_mebibytes']:,.0f} MiB, "
                f"{memory['peak_mebibytes_before']:,.0f} MiB before; checked "
                f"{memory['checked_per_second']:,.0f} files/s, streamed "
                f"{memory['images_per_second']:,.0f} images/s"
            )
        results["rates"] = measure_rates(folder, flags.images, flags.repeats)
        for name, each in results["rates"].items():
            print(
                f"{name:38s} {each['images_per_second']:7,.0f} images/s "
                f"({each['lowest']:,.0f} to {each['highest']:,.0f})",
                flush=True,
            )
    if flags.output:
        write_json(flags.output, results)


if __name__ == "__main__":
    main()
