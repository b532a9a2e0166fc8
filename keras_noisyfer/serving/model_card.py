"""The model card: what a model is, and what it is not for."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from keras_noisyfer.noise import format_realised_noise
from keras_noisyfer.serving.signatures import describe_tasks

if TYPE_CHECKING:
    from keras_noisyfer.models import MultiTaskModel

NOT_STATED = "Not stated."
FACE_LIMITS = """\
- What a face shows is not what a person feels. The model predicts the label
  that annotators would give to a picture, no more.
- It must not be used to judge or to decide about people: not in hiring,
  education, policing, border control, insurance or medical diagnosis, not to
  watch employees, pupils or the public, and not without the knowledge and
  consent of those whose faces are processed. Inferring emotions at work and in
  schools is prohibited in the European Union (Regulation 2024/1689, Art. 5).
- Accuracy differs between groups of people, poses and lighting; it was not
  measured for groups unless the metrics say so."""
NOISE_LIMITS = """\
- The labels that it learned from were noisy. Its errors follow theirs where
  the method did not separate them from the truth."""
OBJECT_LIMITS = f"""\
- The model predicts the label that annotators would give to a picture.
{NOISE_LIMITS}
- Pictures unlike those it was trained on get confident predictions too."""
# By `ModelCard.faces`.
LIMITS = {
    True: f"{FACE_LIMITS}\n{NOISE_LIMITS}",
    False: OBJECT_LIMITS,
    None: f"{OBJECT_LIMITS}\n\nIf the pictures show faces:\n\n{FACE_LIMITS}",
}


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a model card says that the model itself does not know.

    Attributes:
        title: Its heading.
        data: What the model was trained and evaluated on.
        data_license: License of those data.
        weights_license: License of the weights.
        realised_noise: Dict by task name of what `noise.realised_noise`
            returned, where the truth is known.
        settings: Dict of settings of the training.
        metrics: Dict of measured values.
        selection_rule: How the epoch and the settings were chosen, and on
            which data.
        faces: Whether the images are faces, of which the card says what
            emotion inference must not be used for; None if it is not known.
    """

    title: str = "Model"
    data: str = NOT_STATED
    data_license: str = NOT_STATED
    weights_license: str = NOT_STATED
    realised_noise: dict = dataclasses.field(default_factory=dict)
    settings: dict = dataclasses.field(default_factory=dict)
    metrics: dict = dataclasses.field(default_factory=dict)
    selection_rule: str = NOT_STATED
    faces: bool | None = None

    def __post_init__(self):
        for name in ("realised_noise", "settings", "metrics"):
            if not isinstance(getattr(self, name), dict):
                raise ValueError(
                    f"`{name}` must be a dict. "
                    f"Received: {getattr(self, name)!r}"
                )


def write_model_card(
    model: MultiTaskModel, card: ModelCard, path: pathlib.Path
) -> None:
    """Writes a model card as Markdown.

    Args:
        model: The `MultiTaskModel` that it describes.
        card: A `ModelCard`.
        path: The file.
    """
    noise = [
        f"- {line}"
        for name, report in card.realised_noise.items()
        for line in format_realised_noise(name, report).splitlines()
    ]
    sections = {
        "What it predicts": _describe_model(model),
        "Training data": f"{card.data}\n\nLicence: {card.data_license}",
        "Noise of the training labels": "\n".join(noise) or NOT_STATED,
        "Settings": _table("setting", card.settings),
        "Metrics": f"{_table('metric', card.metrics)}\n\n"
        f"Selection: {card.selection_rule}",
        "Intended use": "Research on learning from noisy labels.",
        "Limits": LIMITS[card.faces],
        "License of the weights": card.weights_license,
    }
    text = f"# {card.title}\n"
    for heading, body in sections.items():
        text += f"\n## {heading}\n\n{body}\n"
    path.write_text(text, "utf-8")


def _describe_model(model):
    height, width, channels = model.encoder.image_shape
    lines = [
        f"{type(model).__name__}: an encoder with "
        f"{model.encoder.count_params():,} parameters, for images of "
        f"{height}x{width} pixels and {channels} channel(s).",
        "",
    ]
    for task in model.tasks:
        names = describe_tasks([task])[task.name]
        if "classes" in names:
            what = "probabilities of " + ", ".join(names["classes"])
        else:
            what = "values in [-1, 1] of " + ", ".join(names["dimensions"])
        lines.append(
            f"- `{task.name}`: {what}; learned from {task.annotators} "
            "annotator(s)"
        )
    return "\n".join(lines)


def _table(name, values):
    if not values:
        return NOT_STATED
    rows = "\n".join(
        f"| {key} | {f'{value:.4g}' if isinstance(value, float) else value} |"
        for key, value in values.items()
    )
    return f"| {name} | value |\n|---|---|\n{rows}"
