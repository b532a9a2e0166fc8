"""The flags of the recipes of RAF-base and AffectNet-base."""

import pytest

from keras_noisyfer.command_line.training import (
    add_face_flags,
    face_options,
    training_parser,
)


@pytest.fixture
def parser():
    parser = training_parser("Trains.", "runs/faces")
    add_face_flags(parser, "TheirModel", "list_label_<machine>.txt")
    return parser


def test_the_machine_is_the_authors_unless_it_is_named(parser):
    needed = ["--data-dir", "rafd"]
    flags = parser.parse_args(needed)
    assert face_options(flags)["machine"] == "TheirModel"
    flags = parser.parse_args([*needed, "--machine", "MyModel"])
    assert face_options(flags) == {
        "machine": "MyModel",
        "machine_labels_dir": None,
        "image_size": 64,
        "alignment": "eyes",
        "cache_dir": None,
        "on_error": "raise",
    }
    assert "default: TheirModel" in " ".join(parser.format_help().split())


def test_flags_are_written_in_full(parser, capsys):
    # `--machine-labels` could be meant for either of two flags.
    with pytest.raises(SystemExit):
        parser.parse_args(["--data-dir", "rafd", "--machine-labels", "x"])
    assert "unrecognized arguments" in capsys.readouterr().err
