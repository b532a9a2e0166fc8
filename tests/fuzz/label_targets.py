"""Loaders of labels, tables and arrays, and whole files to begin with."""

import json
import pickle
import shutil
import zipfile

import numpy as np
from damage import (
    damage_bytes,
    damage_json,
    damage_npy,
    damage_text,
    damage_zip,
)
from fixtures_faces import write_affectnet, write_affectnet_sets, write_raf
from PIL import Image
from target import AFFECT, SHADE, Target, damage_npz

from keras_noisyfer.comparison.reading import (
    read_arrays,
    read_histories,
)
from keras_noisyfer.comparison.runner import read_rows
from keras_noisyfer.datasets.cifar10 import load_cifar10
from keras_noisyfer.datasets.cifar10n import LABEL_SETS, load_cifar10n
from keras_noisyfer.datasets.faces.affectnet import (
    AffectNetConfig,
    load_affectnet,
)
from keras_noisyfer.datasets.faces.raf import RafDbConfig, load_raf
from keras_noisyfer.datasets.ferplus import USAGES, VOTE_COLUMNS, load_ferplus
from keras_noisyfer.datasets.label_studio import load_label_studio
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.datasets.table import from_csv
from keras_noisyfer.datasets.table_tasks import infer_tasks
from keras_noisyfer.results import keep_settings


def write_images(folder):
    folder.mkdir()
    for name in "abc":
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")


class WideTable(Target):
    count = 1500
    text = (
        "image,shade.ann,shade.bob,valence.ann,arousal.ann,clean.shade\n"
        'a.png,dark,grey,0.5,-0.25,dark\nb.png,light,,,,"light"\n'
        "./c.png,grey,dark,1,-1,\n"
    )

    def make(self):
        write_images(self.folder / "images")
        self.path = self.folder / "labels.csv"
        self.path.write_text(self.text)
        self.files = [(self.path, damage_text)]

    def load(self):
        tasks, columns = infer_tasks(self.path)
        from_csv(
            self.path,
            self.folder / "images",
            tasks,
            columns,
            on_error=self.on_error,
            decode=False,
        )


class LongTable(WideTable):
    text = (
        "image,annotator,task,value\na.png,ann,shade,dark\n"
        "a.png,bob,shade,light\nb.png,ann,shade,grey\nb.png,ann,valence,0.5\n"
        'b.png,ann,affect.arousal,"-1"\nc.png,ann,shade,dark\nc.png,clean,shade,dark\n'
    )


class GivenTasks(WideTable):
    """The tasks and columns are known, the cells may hold anything."""

    count = 500

    def load(self):
        columns = {
            "image": "image",
            "shade": ["shade.ann", "shade.bob"],
            "affect": [("valence.ann", "arousal.ann")],
            "clean": {"shade": "clean.shade"},
        }
        from_csv(
            self.path,
            self.folder / "images",
            [SHADE, AFFECT],
            columns,
            on_error=self.on_error,
            decode=False,
        )


class LabelStudio(WideTable):
    count = 500
    text = json.dumps(
        [
            {
                "id": 1,
                "data": {"image": "/data/upload/1/0123abcd-a.png"},
                "annotations": [
                    {
                        "completed_by": who,
                        "result": [
                            {
                                "from_name": "shade",
                                "type": "choices",
                                "value": {"choices": [shade]},
                            },
                            {
                                "from_name": "stars",
                                "type": "rating",
                                "value": {"rating": 4},
                            },
                        ],
                    }
                ],
            }
            for who, shade in (("ann", "dark"), ({"id": 3}, "light"))
        ],
        indent=1,
    )

    def make(self):
        super().make()
        self.path = self.path.rename(self.folder / "export.json")
        self.files = [(self.path, damage_json)]

    def load(self):
        load_label_studio(
            self.path,
            self.folder / "images",
            controls=["shade", "stars"],
            ranges={"stars": (1, 5)} if self.on_error == "skip" else None,
            on_error=self.on_error,
            decode=False,
        )


class RafLists(Target):
    count = 1000
    config = RafDbConfig

    def make(self):
        self.root = self.folder / "raf"
        write_raf(self.root, 3, 2)
        lists = [*self.root.rglob("list_*.txt")]
        eyes = sorted(self.root.rglob("*_manu_attri.txt"))[:2]
        self.files = [(path, damage_text) for path in (*lists, *eyes)]

    def load(self):
        options = {"base": True, "on_error": self.on_error}
        self.config(manual_dir=self.root, **options).read(
            ImportReport(self.on_error)
        )


class AffectNetTables(RafLists):
    count = 700
    config = AffectNetConfig

    def make(self):
        self.root = self.folder / "affectnet"
        write_affectnet(self.root, 4, 3)
        tables = self.root.glob("*.csv")
        self.files = [(path, damage_text) for path in tables]


class WholeLoader:
    """The whole loader, which prepares images too."""

    count = 15

    def load(self):
        cache = self.folder / "cache"
        try:
            type(self).load_faces(
                self.root,
                base=True,
                image_size=8,
                cache_dir=cache,
                on_error=self.on_error,
            )
        finally:
            shutil.rmtree(cache, ignore_errors=True)


class RafDataSet(WholeLoader, RafLists):
    load_faces = load_raf


class AffectNetDataSet(WholeLoader, AffectNetTables):
    load_faces = load_affectnet


class AffectNetArrays(Target):
    count = 600

    def make(self):
        self.root = self.folder / "affectnet"
        write_affectnet_sets(self.root, 2, 2)
        arrays = sorted(self.root.rglob("*.npy"))
        self.files = [(path, damage_npy) for path in arrays]

    def load(self):
        AffectNetConfig(manual_dir=self.root, on_error=self.on_error).read(
            ImportReport(self.on_error)
        )


class FerPlusTables(Target):
    count = 500

    def make(self):
        votes = ["0"] * len(VOTE_COLUMNS)
        votes[1], votes[4] = "7", "3"
        pixels = " ".join(["0", "255", "17"] * 768)
        faces, table = ["emotion,pixels,Usage"], ["Usage,Image name"]
        table[0] += "," + ",".join(VOTE_COLUMNS)
        for number, usage in enumerate([*USAGES.values()] * 2):
            faces.append(f"{number},{pixels},{usage}")
            table.append(",".join([usage, f"fer{number}.png", *votes]))
        paths = [self.folder / "fer2013.csv", self.folder / "fer2013new.csv"]
        for path, lines in zip(paths, (faces, table), strict=True):
            path.write_text("\n".join(lines) + "\n")
        self.files = [(path, damage_text) for path in paths]

    def load(self):
        load_ferplus(self.folder, original_label=True, on_error=self.on_error)


class FerPlusFolder(Target):
    count = 500

    def make(self):
        folder = self.folder / "FER2013Train"
        write_images(folder)
        votes = '"(0, 0, 48, 48)",' + ",".join("7030000000")
        path = folder / "label.csv"
        path.write_text("".join(f"{name}.png,{votes}\n" for name in "abc"))
        self.files = [(path, damage_text)]

    def load(self):
        load_ferplus(self.folder, on_error=self.on_error)


def cifar10_arrays():
    return {
        "x_train": np.zeros((4, 32, 32, 3), "uint8"),
        "y_train": np.arange(4),
        "x_test": np.zeros((2, 32, 32, 3), "uint8"),
        "y_test": np.arange(2),
    }


class Cifar10(Target):
    count = 800

    def make(self):
        self.path = self.folder / "cifar10.npz"
        np.savez_compressed(self.path, **cifar10_arrays())
        self.files = [(self.path, damage_npz)]

    def load(self):
        load_cifar10(self.path, "train")


class Cifar10N(Target):
    """All forms of its labels, beside images that are as they should be."""

    count = 1500

    def make(self):
        self.images = self.folder / "cifar10.npz"
        np.savez(self.images, **cifar10_arrays())
        labels = {n: np.arange(4) for n in ("clean_label", *LABEL_SETS)}
        archive = self.folder / "a.pt"
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(labels, 2))
            file.writestr("archive/version", "3\n")
        old = self.folder / "old.pt"
        parts = (1, 1001, {"little_endian": True}, labels, [])
        old.write_bytes(b"".join(pickle.dumps(each, 2) for each in parts))
        array = self.folder / "a.npy"
        lists = {name: list(each) for name, each in labels.items()}
        np.save(array, lists)
        order = self.folder / "image_order_c10.npy"
        np.save(order, np.arange(4))
        table = self.folder / "a.csv"
        rows = [",".join(map(str, row)) for row in zip(*lists.values())]  # noqa: B905
        table.write_text("\n".join([",".join(labels), *rows]))

        def damage_archive(rng, content, others):
            return damage_zip(
                rng, content, lambda rng, _, each: damage_bytes(rng, each)
            )

        self.files = [
            (archive, damage_archive),
            (old, damage_bytes),
            (array, damage_bytes),
            (order, damage_npy),
            (table, damage_text),
        ]
        self.labels = [archive, old, array, table]

    def load(self):
        # What was damaged last is looked at first.
        newest = max(self.labels, key=lambda path: path.stat().st_mtime_ns)
        load_cifar10n(newest, "train", self.images)


class Results(Target):
    """What a comparison has left in its folder."""

    count = 800

    def make(self):
        folder = self.folder / "cells" / "multi-label" / "vggnet" / "seed0"
        folder.mkdir(parents=True)
        table = self.folder / "cells.csv"
        table.write_text(
            "setting,method,seed,metric,last,chosen,best\n"
            "multi-label,vggnet,0,object_accuracy,0.5,0.5,0.6\n"
        )
        history = folder / "history.csv"
        history.write_text(
            "epoch,generator_joint_loss,discriminator_loss\n0,0,0\n1,0.1,2\n"
        )
        arrays = folder / "predictions.npz"
        np.savez(arrays, object=np.arange(3), object_clean=np.arange(3))
        settings = self.folder / "settings.json"
        settings.write_text(json.dumps({"profile": {"epochs": 3, "width": 1}}))
        self.files = [
            (table, damage_text),
            (history, damage_text),
            (arrays, damage_npz),
            (settings, damage_json),
        ]

    def load(self):
        keep_settings(self.folder, {"profile": {"epochs": 3}})
        read_rows(self.folder)
        read_histories(self.folder, "multi-label")
        names = (self.folder, "multi-label", "vggnet", 0, "predictions.npz")
        read_arrays(*names)
