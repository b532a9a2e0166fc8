"""Whether mixed bfloat16 trains as well as float32.

Trains the joint-distribution GAN of `recipes/quickstart.py` in mixed bfloat16
and prints its metrics on the clean test faces after the last epoch beside
those of float32, from the committed runs of `results/automatic_balance` on
the same processor:

  TF_NUM_INTRAOP_THREADS=1 PYTHONPATH=recipes python benchmarks/bfloat16.py
"""

import argparse
import json
import pathlib
import time

import keras
import quickstart
from train_step import environment

from keras_noisyfer.comparison import train_method
from keras_noisyfer.results import format_table, write_json

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seeds", nargs="+", type=int, default=(0, 1, 2))
    add("--dtype", default="mixed_bfloat16")
    add("--results", type=pathlib.Path, default=RESULTS / "automatic_balance")
    add("--output", default=RESULTS / "benchmarks" / "bfloat16.json")
    flags = parser.parse_args()
    keras.config.set_dtype_policy(flags.dtype)
    rows = []
    for seed in flags.seeds:
        weight = quickstart.SETTINGS["lambda_joint"]
        path = flags.results / f"lambda_{weight}_seed{seed}.json"
        recorded = json.loads(path.read_text())
        settings = recorded["settings"]
        float32 = recorded["result"]
        data, test, _ = quickstart.make_data(settings["train_size"], seed)
        start = time.perf_counter()
        _, history = train_method(
            "proposed",
            data,
            quickstart.make_test_data(test),
            epochs=settings["epochs"],
            width=settings["width"],
            seed=seed,
            **quickstart.make_settings(settings["epochs"]),
        )
        row = {"seed": seed}
        for name, key in quickstart.REPORTED.items():
            row[f"{name}_{flags.dtype}"] = history.history[key][-1]
            row[f"{name}_float32"] = float32[name]
        row["seconds"] = time.perf_counter() - start
        rows.append(row)
        print(format_table(rows), flush=True)
        write_json(
            flags.output,
            {
                "dtype": flags.dtype,
                "environment": environment(),
                "results": rows,
            },
        )


if __name__ == "__main__":
    main()
