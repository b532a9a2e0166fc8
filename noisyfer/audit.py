"""`noisyfer audit`: which labels are suspect?"""

import keras
import numpy as np

from keras_noisyfer.auditing.audit import METHODS, audit
from keras_noisyfer.auditing.measures import measure_audit
from keras_noisyfer.auditing.page import write_audit
from keras_noisyfer.auditing.predictions import predict_images
from keras_noisyfer.comparison.training import train_method
from keras_noisyfer.files import read_npz
from keras_noisyfer.labels import check_output_names, output_names
from keras_noisyfer.relabelling import load_model
from keras_noisyfer.results import (
    format_table,
    prepare_output_dir,
    write_json,
)
from noisyfer.data import load_data
from noisyfer.flags import naming_flags
from noisyfer.train import training_options

MAX_BYTES = 2**32
# What is printed of a task of classes.
METRICS = (
    "auroc",
    "precision_at_100",
    "consensus",
    "majority_vote",
    "dawid_skene",
    "noise_rate_error",
    "confusion_error",
)


def run(flags):
    settings = training_options(flags)
    with naming_flags(output_dir="--out"):
        output = prepare_output_dir(flags.out)
    model = None if flags.model is None else read_model(flags.model)
    data, _ = load_data(flags)
    print(f"Auditing {data}", flush=True)
    predictions = make_predictions(flags, data, settings, model)
    names = {
        f"{task.name}.outputs": output_names(task)
        for task in data.tasks
        if output_names(task)
    }
    np.savez_compressed(
        output / "predictions.npz", image=data.names, **predictions, **names
    )
    # An earlier audit's, of data whose truth was known.
    (output / "measures.json").unlink(missing_ok=True)
    found = audit(predictions, data, method=flags.score, seed=flags.seed)
    page = write_audit(found, data, output, flags.thumbnails)
    print(f"\nThe most suspect labels of {len(found.labels):,}:\n")
    suspects = found.suspects(10).astype(object)
    # Of a continuous task there is no confidence.
    suspects = suspects.where(suspects.notna(), "–")
    print(format_table(suspects.to_dict("records")))
    if data.clean:
        report(flags, data, settings, predictions, output)
    print(f"\nPage: {page}\nTables: {output}")


def read_model(path):
    with naming_flags(model="--model"):
        model = load_model(path)
    if not isinstance(model, keras.Model):
        raise ValueError(f"--model must be a .keras file. Received: {path}")
    return model


def read_predictions(path, data):
    """The predictions of an earlier audit, or one's own, in the order of the
    images."""
    names = [task.name for task in data.tasks]
    arrays = read_npz(path, MAX_BYTES, required=names)
    outputs = {
        name: arrays[f"{name}.outputs"].tolist()
        for name in names
        if f"{name}.outputs" in arrays
    }
    check_output_names("data", data.tasks, outputs)
    order = slice(None)
    if "image" in arrays:
        rows = {name: row for row, name in enumerate(arrays["image"])}
        missing = [name for name in data.names if name not in rows]
        if missing:
            raise ValueError(
                "--predictions must be of all images. Received: "
                f"{path}, with none of {missing[0]}"
            )
        counts = {arrays[name].shape[:1] for name in ("image", *names)}
        if len(counts) > 1:
            raise ValueError(
                "--predictions must be as many of each task as of images. "
                f"Received: {path}, with {len(arrays['image'])} images"
            )
        order = [rows[name] for name in data.names]
    return {name: arrays[name][order] for name in names}


def make_predictions(flags, data, settings, model):
    """Predictions for all images, from where the flags say."""
    if flags.predictions is not None:
        with naming_flags(model="--predictions", data="the table"):
            arrays = read_predictions(flags.predictions, data)
            return predict_images(arrays, data)
    if model is not None:
        with naming_flags(model="--model", data="the table"):
            return predict_images(model, data)

    def train(part):
        model, _ = train_method(flags.method, part, None, **settings)
        return model

    if flags.folds:
        with naming_flags(folds="--folds"):
            return predict_images(train, data, flags.folds, seed=flags.seed)
    return predict_images(train(data), data)


def report(flags, data, settings, predictions, output):
    """Prints and writes how far every method is from the truth."""
    measures = {
        method: measure_audit(
            audit(predictions, data, method=method, seed=flags.seed),
            data,
            flags.seed,
        )
        for method in METHODS
    }
    for name in ("model", "predictions"):
        if getattr(flags, name) is not None:
            # Nothing was trained.
            settings = {name: getattr(flags, name)}
    settings = {
        **settings,
        "folds": flags.folds,
        "images": len(data),
        "seed": flags.seed,
    }
    write_json(
        output / "measures.json", {"settings": settings, "measures": measures}
    )
    for task in data.tasks:
        rows = [
            {"method": method, **measures[method][task.name]}
            for method in METHODS
            if task.name in measures[method]
        ]
        if rows and "auroc" in rows[0]:
            keys = ("method", *METRICS)
            rows = [{key: row[key] for key in keys} for row in rows]
            print(f"\n{task.name}, against the truth:\n{format_table(rows)}")
