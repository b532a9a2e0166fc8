"""Readers of images and models, and whole files to begin with."""

import io

import keras
import numpy as np
import tensorflow as tf
from damage import (
    damage_bytes,
    damage_image,
    damage_json,
    damage_zip,
)
from fixtures_faces import refusal
from PIL import Image
from target import SHADE, Target, damage_npz

from keras_noisyfer import Encoder, MultiTaskModel, export, relabel
from keras_noisyfer.datasets.image_files import (
    check_image,
    check_image_files,
)
from keras_noisyfer.datasets.image_sources import ImageArray, decode_image
from keras_noisyfer.datasets.labelled_images import LabelledImages
from keras_noisyfer.datasets.report import ImportReport
from keras_noisyfer.networks import load_release_weights
from keras_noisyfer.networks.release import release_weights
from keras_noisyfer.serving.predictor import Predictor


def image_contents():
    """Image files of several formats by their endings."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 4), "uint8")
    contents = {}
    for ending, kind, mode, options in (
        ("jpg", "JPEG", "RGB", {"progressive": True}),
        ("jpeg", "JPEG", "L", {}),
        ("png", "PNG", "RGB", {}),
        ("PNG", "PNG", "P", {}),
        ("bmp", "BMP", "RGB", {}),
        ("gif", "GIF", "P", {}),
        ("webp", "WEBP", "RGBA", {}),
        ("tif", "TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("tiff", "TIFF", "I;16", {}),
    ):
        image = Image.fromarray(pixels[..., :3])
        if mode == "I;16":
            image = Image.fromarray(pixels[..., 0].astype("uint16") * 257)
        else:
            image = image.convert(mode)
        file = io.BytesIO()
        image.save(file, kind, **options)
        contents[ending] = file.getvalue()
    return contents


class Images(Target):
    """What the check finds good, the decoder of the training can read."""

    count = 1500

    def make(self):
        self.names = []
        self.files = []
        for ending, content in image_contents().items():
            path = self.folder / f"image.{ending}"
            path.write_bytes(content)
            self.names.append(path.name)
            self.files.append((path, damage_image))
        self.read = tf.function(
            lambda path: decode_image(tf.io.read_file(path), (8, 8, 3)),
            input_signature=[tf.TensorSpec((), tf.string)],
        )

    def load(self):
        paths = [self.folder / name for name in self.names]
        newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
        problem = refusal(check_image, str(newest))
        if problem is None:
            assert self.read(str(newest)).shape == (8, 8, 3)
        else:
            # A few words and a line, whatever is in the file.
            assert all(each.isprintable() for each in problem)


class ImageFolders(Images):
    count = 100

    def load(self):
        check_image_files(self.folder, self.names, ImportReport("skip"))


class Predictions(Images):
    """Files that people want a prediction for: each gets a row."""

    count = 700

    def make(self):
        super().make()
        encoder = Encoder([SHADE], (32, 32, 3), width=1 / 32, noise_code_size=4)
        model = self.folder / "model"
        export(MultiTaskModel(encoder), model)
        self.predictor = Predictor(model)

    def load(self):
        paths = [self.folder / name for name in self.names]
        newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
        (row,) = self.predictor.rows([newest])
        assert row["image"] == str(newest)
        if "error" in row:
            assert row["error"].isprintable()
        else:
            assert row["shade"] in SHADE.class_names


class ServedBytes(Predictions):
    """The same to a server: answers, or an error of TensorFlow's."""

    count = 300

    def load(self):
        paths = [self.folder / name for name in self.names]
        newest = max(paths, key=lambda path: path.stat().st_mtime_ns)
        try:
            self.predictor._predict(
                image_bytes=tf.constant([newest.read_bytes()])
            )
        except tf.errors.ResourceExhaustedError:
            raise
        except tf.errors.OpError:
            pass


class ReleaseWeights(Target):
    count = 400

    def make(self):
        self.encoder = Encoder(
            [SHADE], (32, 32, 3), width=1 / 64, noise_code_size=4
        )
        rng = np.random.default_rng(0)
        state = {}
        for variable, (name,), _ in release_weights(self.encoder, {}):
            shape = tuple(variable.shape)
            # PyTorch's layout is the other way round.
            order = (3, 2, 0, 1) if len(shape) == 4 else range(len(shape))[::-1]
            values = rng.normal(size=shape).astype("float32")
            state[name] = values.transpose(*order)
        self.path = self.folder / "encoder.npz"
        np.savez(self.path, **state)
        load_release_weights(self.encoder, self.path)
        self.files = [(self.path, damage_npz)]

    def load(self):
        load_release_weights(self.encoder, self.path)


def damage_keras(rng, content, others):
    def damage_member(rng, name, member):
        if name.endswith(".json"):
            return damage_json(rng, member)
        return damage_bytes(rng, member)

    return damage_zip(rng, content, damage_member)


class KerasModels(Target):
    count = 400

    def make(self):
        inputs = keras.Input((4, 4, 3))
        outputs = keras.layers.Conv2D(2, 3, name="convolution")(inputs)
        outputs = keras.layers.BatchNormalization()(outputs)
        outputs = keras.layers.Flatten()(outputs)
        outputs = keras.layers.Dense(3, "softmax")(outputs)
        self.path = self.folder / "model.keras"
        keras.Model(inputs, outputs).save(self.path)
        images = ImageArray(np.zeros((1, 4, 4, 3), "uint8"))
        self.data = LabelledImages(
            images, {"shade": np.zeros((1, 1), int)}, [SHADE]
        )
        self.files = [(self.path, damage_keras)]

    def load(self):
        relabel(self.path, self.data, [SHADE], verbose=False)
