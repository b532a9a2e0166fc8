"""FER+ with labels of machines and people, of a table of one's own.

The folder holds `images` and `labels.csv`, a row an image: `image`, `split`
(train or validation), `expression_fer2013` and `expression_machine`,
`valence_machine` and `arousal_machine`, the numbers of votes `votes_neutral`
and so on, and for evaluation `majority`, `valence_crowd`, `arousal_crowd`.
"""

import pathlib

import numpy as np
import pandas as pd

import keras_noisyfer as kn

# The class that votes in a column are for; none: contempt, unknown, no face.
EXPRESSIONS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
)
VOTES = (*EXPRESSIONS, "contempt", "unknown", "not_a_face")


def load(split, seed, data_dir, annotators):
    """Loads the images of a split.

    Args:
        split: `"train"`, or `"test"` for the validation images.
        seed: Seed of the votes that are drawn.
        data_dir: The folder.
        annotators: Columns of expressions; `vote_1` to `vote_10` are votes
            that are drawn.

    Returns:
        A `LabelledImages` with the tasks `expression` and `affect`.
    """
    path = pathlib.Path(data_dir, "labels.csv")
    if not path.is_file():
        raise ValueError(
            f"`data_dir` must hold labels.csv. Received: {data_dir}"
        )
    table = pd.read_csv(path, keep_default_na=False)
    wanted = "train" if split == "train" else "validation"
    table = table[table["split"] == wanted].reset_index(drop=True)
    drawn = [name for name in annotators if name.startswith("vote_")]
    if drawn:
        counts = table[[f"votes_{name}" for name in VOTES]].to_numpy("int64")
        votes = kn.noise.draw_votes(counts, len(drawn), seed)
        # What is none of the seven is a missing label, as no vote is.
        names = np.array([*EXPRESSIONS, "", "", "", ""], object)
        table[drawn] = names[votes]
    return kn.from_dataframe(
        table,
        f"{data_dir}/images",
        [
            kn.CategoricalTask(
                "expression",
                class_names=EXPRESSIONS,
                annotators=len(annotators),
            ),
            kn.ContinuousTask("affect", dimensions=("valence", "arousal")),
        ],
        {
            "image": "image",
            "expression": list(annotators),
            "affect": ("valence_machine", "arousal_machine"),
            "clean": {
                "expression": "majority",
                "affect": ("valence_crowd", "arousal_crowd"),
            },
        },
    )


@kn.comparison.dataset("ferplus-machine", "FER+, machine labels", "data_dir")
def machine(split, profile, seed, data_dir):
    """As RAF-base is made: labels of machines, tested on the crowd's."""
    return load(split, seed, data_dir, ["expression_machine"])


@kn.comparison.dataset("ferplus-two", "FER+, FER2013 and machine", "data_dir")
def two_sources(split, profile, seed, data_dir):
    """FER2013's own labels and a machine's, which go wrong together."""
    names = ["expression_fer2013", "expression_machine"]
    return load(split, seed, data_dir, names)


@kn.comparison.dataset("ferplus-crowd", "FER+, three sources", "data_dir")
def three_sources(split, profile, seed, data_dir):
    """FER2013's own label, a machine's, and one person's."""
    names = ["expression_fer2013", "expression_machine", "vote_1"]
    return load(split, seed, data_dir, names)


@kn.comparison.dataset("ferplus-votes", "FER+, three votes", "data_dir")
def three_votes(split, profile, seed, data_dir):
    """Three people's labels, and a machine's valence and arousal."""
    return load(split, seed, data_dir, ["vote_1", "vote_2", "vote_3"])
