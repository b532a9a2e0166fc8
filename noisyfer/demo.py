"""`noisyfer demo`: a page to try an exported model on images."""

import collections
import os
import pathlib

import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from keras_noisyfer.arguments import one_line
from keras_noisyfer.datasets.image_files import read_rgb
from keras_noisyfer.serving.photographs import (
    draw_values,
    find_faces,
    plot_faces,
)
from keras_noisyfer.serving.predictor import (
    Predictor,
    load_saved_model,
    newest_version,
    read_tasks,
)
from keras_noisyfer.serving.signatures import TASKS_FILE
from noisyfer.flags import choose_model, naming_flags

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
try:
    import gradio as gr
except ModuleNotFoundError as error:
    raise ImportError(
        "the page needs the extra `demo`: "
        "pip install 'keras_noisyfer[demo]'. Not installed: gradio"
    ) from error

LIMITS = (
    "What a face shows is not what a person feels, and this must not be used "
    "to judge people: see the model's card."
)


class Page:
    """What the page shows of an image.

    Args:
        predictor: A `Predictor`.
        decoder: What `export_decoder` has written, loaded, or None.
        find_faces: See `Predictor.rows`.
    """

    def __init__(self, predictor, decoder=None, find_faces=None):
        self.predictor = predictor
        self.decoder = decoder
        self.find_faces = find_faces
        self.classes = {
            task: names["classes"]
            for task, names in predictor.tasks.items()
            if "classes" in names
        }
        self.dimensions = {
            task: names["dimensions"]
            for task, names in predictor.tasks.items()
            if "dimensions" in names
        }

    def show_one(self, path):
        """A message; the photograph with its faces; the decoder's picture;
        bars for each categorical task; a figure for each continuous one."""
        row = {}
        message = faces = None
        if path:
            rows = list(self.predictor.rows([path], find_faces=self.find_faces))
            row = rows[0]
            if "error" in row:
                message = f"**Nothing is predicted:** {row['error']}"
                row = {}
            elif self.find_faces:
                photograph = read_rgb(path, convert=True)
                faces = plot_faces(photograph, rows, self.predictor.tasks)
        shown = [message or "", faces]
        shown.append(self.decode(row) if row and self.decoder else None)
        for task, classes in self.classes.items():
            shown.append(
                {name: row[f"{task}_{name}"] for name in classes}
                if row
                else None
            )
        for task, dimensions in self.dimensions.items():
            values = [row[f"{task}_{name}"] for name in dimensions if row]
            shown.append(plot_values(dimensions, values) if row else None)
        return shown

    def decode(self, row):
        """The decoder's picture of a row's labels, uint8."""
        labels = {
            task: tf.constant([classes.index(row[task])], tf.int32)
            for task, classes in self.classes.items()
        } | {
            task: tf.constant([[row[f"{task}_{name}"] for name in dimensions]])
            for task, dimensions in self.dimensions.items()
        }
        seed = tf.constant(0, tf.int32)
        generate = self.decoder.signatures["serving_default"]
        image = generate(seed=seed, **labels)["image"][0].numpy()
        # As large as a page shows it, without blurring its pixels.
        return image.repeat(8, axis=0).repeat(8, axis=1)

    def show_several(self, paths):
        """A table with a row a file, or a face."""
        rows = []
        faces = collections.Counter()
        for row in self.predictor.rows(paths or [], 64, self.find_faces):
            short = {"image": pathlib.Path(row["image"]).name}
            if self.find_faces:
                # Numbered as on the photograph.
                faces[row["image"]] += 1
                short["face"] = "" if "error" in row else faces[row["image"]]
            for task in self.classes:
                short[task] = row.get(task, "")
            for task, dimensions in self.dimensions.items():
                for name in dimensions:
                    value = row.get(f"{task}_{name}")
                    short[name] = "" if value is None else f"{value:.2f}"
            rows.append({**short, "problem": row.get("error", "")})
        return pd.DataFrame(rows)

    def build(self):
        """The page, a `gradio.Blocks`."""
        with gr.Blocks(title="keras_noisyfer", analytics_enabled=False) as page:
            gr.Markdown(f"# Predicted labels\n{LIMITS}")
            with gr.Tab("One image"):
                self._build_one()
            with gr.Tab("Several images"):
                files = gr.File(label="images", file_count="multiple")
                table = gr.Dataframe(label="predictions", interactive=False)
                files.change(
                    self.show_several, files, table, api_name="several"
                )
        return page

    def _build_one(self):
        with gr.Row():
            with gr.Column():
                image = gr.Image(
                    label="image",
                    sources=["upload", "webcam", "clipboard"],
                    type="filepath",
                    height=320,
                )
                # Whatever was uploaded: the predictor says what is wrong
                # with it where gradio would only fail.
                image.preprocess = lambda payload: payload and payload.path
                message = gr.Markdown()
                decoded = gr.Image(
                    label="the decoder's picture of this label",
                    elem_id="decoded",
                    format="png",
                    height=320,
                    interactive=False,
                    visible=bool(self.decoder),
                )
            with gr.Column():
                faces = gr.Plot(label="faces", visible=bool(self.find_faces))
                shown = [
                    gr.Label(label=task, elem_id=f"task-{task}")
                    for task in self.classes
                ]
                shown += [gr.Plot(label=task) for task in self.dimensions]
        outputs = [message, faces, decoded, *shown]
        image.change(self.show_one, image, outputs, api_name="one")


def plot_values(dimensions, values):
    """Two values as a point on a plane, others as bars; a figure."""
    figure = Figure(figsize=(4, 4), layout="constrained")
    draw_values(figure.subplots(), dimensions, values)
    return figure


def load_decoder(path, tasks):
    """An exported decoder of a predictor's tasks.

    A SavedModel is a program: load only those of people you trust.

    Raises:
        ValueError: if there is none that can be read, or of other tasks.
    """
    folder = newest_version(path)
    if not (folder / "saved_model.pb").is_file():
        raise ValueError(
            "--decoder must be a folder that `export_decoder` has written. "
            f"Received: {path}"
        )
    decoder = load_saved_model(folder)
    _, taken = decoder.signatures["serving_default"].structured_input_signature
    if (
        set(taken) != {"seed", *tasks}
        or read_tasks(folder / TASKS_FILE) != tasks
    ):
        raise ValueError(
            "--decoder must draw the tasks and classes of the model, "
            f"{one_line(tasks, 200)}. Received: {path}"
        )
    return decoder


def run(flags):
    model, detect = choose_model(flags)
    finder = find_faces if detect else None
    with naming_flags(path="--model"):
        predictor = Predictor(model)
    decoder = flags.decoder and load_decoder(flags.decoder, predictor.tasks)
    page = Page(predictor, decoder, finder).build()
    try:
        page.launch(server_port=flags.port, share=False)
    except OSError as error:
        raise ValueError(
            f"--port must be one that is free. Received: {flags.port}"
        ) from error
