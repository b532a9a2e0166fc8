"""What holds of all commands, and of those that have no file of their own."""

import argparse
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from keras_noisyfer import Encoder, JointDistributionGAN, MultiTaskModel
from keras_noisyfer.datasets.report import ON_ERROR
from keras_noisyfer.networks import IMAGE_SIZES
from keras_noisyfer.serving.export import FORMATS
from keras_noisyfer.serving.predictor import Predictor
from keras_noisyfer.tasks import CategoricalTask
from noisyfer import flags as noisyfer_flags
from noisyfer import main, make_parser

COMMANDS = ("compare", "train", "audit", "predict", "export", "demo", "list")


def commands():
    (actions,) = (
        each.choices
        for each in make_parser()._actions
        if isinstance(each, argparse._SubParsersAction)
    )
    return actions


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_tells_all_flags(name, capsys):
    with pytest.raises(SystemExit) as error:
        main([*name.split(), "--help"])
    assert error.value.code == 0
    printed = capsys.readouterr().out
    assert all(each in printed for each in COMMANDS if not name)
    assert "None" not in printed and "==SUPPRESS==" not in printed
    if name:
        for action in commands()[name]._actions:
            assert action.help, f"{action.option_strings} has no help"


def test_help_does_not_wait_for_tensorflow():
    code = """
import sys
from noisyfer import main
try:
    main(sys.argv[1:])
except SystemExit as error:
    print(error.code, *{each.partition(".")[0] for each in sys.modules})
"""
    for flags, expected in ((["--help"], 0), (["train"], 2)):
        command = [sys.executable, "-c", code, *flags]
        printed = subprocess.run(
            command, capture_output=True, check=True, text=True
        )
        code_, *modules = printed.stdout.splitlines()[-1].split()
        assert int(code_) == expected
        heavy = {"keras", "tensorflow", "numpy", "pandas", "keras_noisyfer"}
        assert not heavy & set(modules)


def test_choices_are_those_of_the_library():
    choices = {
        option: action.choices
        for name in COMMANDS
        for action in commands()[name]._actions
        for option in action.option_strings
    }
    assert choices["--on-error"] == ON_ERROR
    # What has to be calibrated is not for the command line.
    assert choices["--format"] == FORMATS[:3]


def test_failures_are_one_line(capsys):
    for error, code in (
        (ValueError("of data"), 1),
        (OSError("of a disk"), 1),
        (ImportError("of an extra"), 1),
        (FloatingPointError("of a loss"), 1),
        (noisyfer_flags.UsageError("of a flag"), 2),
    ):

        def fail(flags, error=error):
            raise error

        with pytest.raises(SystemExit) as ended:
            noisyfer_flags.run_command(fail, None)
        assert ended.value.code == code
        assert capsys.readouterr().err == f"error: {error}\n"


def test_a_wrong_flag_is_one_line(capsys):
    for flags, message in (
        ([], "the following arguments are required: COMMAND"),
        (["train"], "give either LABELS.csv and --image-dir, "),
        (["export", "a", "--epochs", "3"], "unrecognized arguments: --epochs"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(flags)
        assert ended.value.code == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {message}")


def test_tensorflow_has_nothing_to_say():
    code = "import warnings; from noisyfer import main; main(['list']); "
    code += "warnings.warn('of data')"
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TF_")
    }
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        env=environment,
    )
    assert ran.stderr == "warning: of data\n"


def test_list_names_what_is_registered(capsys):
    main(["list"])
    printed = capsys.readouterr().out
    assert "joint-elr" in printed and "affectnet-base" in printed
    assert "\ncsv" not in printed


def test_export_writes_a_folder_that_predict_reads(tmp_path, capsys):
    tasks = [CategoricalTask("mood", class_names=("calm", "glad"))]
    model = JointDistributionGAN(Encoder(tasks, (32, 32, 3), width=1 / 16))
    model.save(tmp_path / "model.keras")
    flags = [str(tmp_path / "model.keras"), "--out", str(tmp_path / "served")]
    flags += ["--decoder", str(tmp_path / "decoder")]
    main(["export", *flags])
    assert (tmp_path / "decoder" / "1" / "saved_model.pb").is_file()
    images = np.zeros((2, 32, 32, 3), "float32")
    expected = model.predict(images, verbose=0)["mood"]
    served = Predictor(tmp_path / "served")
    tasks_file = tmp_path / "served/1/assets.extra/tasks.json"
    assert served.tasks == json.loads(tasks_file.read_text())
    assert expected.shape == (2, 2)
    capsys.readouterr()
    plain = tmp_path / "plain.keras"
    MultiTaskModel(model.encoder).save(plain)
    others = ["--out", str(tmp_path / "others")]
    unwritten = str(tmp_path / "unwritten")
    (tmp_path / "others" / "1").mkdir(parents=True)
    for code, given, message in (
        (1, flags, "--out must not exist yet without --overwrite. Received: "),
        (
            1,
            [*flags[:1], *others, "--overwrite"],
            "--overwrite replaces only a ",
        ),
        (
            1,
            ["none.keras"],
            "FILE.keras must be a model or the path of one. Rec",
        ),
        (
            1,
            [
                str(plain),
                "--out",
                unwritten,
                "--decoder",
                str(tmp_path / "new"),
            ],
            "FILE.keras must be a JointDistributionGAN with a decoder",
        ),
        (
            1,
            [*flags[:3], "--decoder", unwritten],
            "--out must not exist yet without --overwrite. Received: ",
        ),
        (
            2,
            [flags[0], *others, "--decoder", others[1]],
            "--decoder must be another folder than --out",
        ),
    ):
        with pytest.raises(SystemExit) as error:
            main(["export", *given])
        assert error.value.code == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {message}")
    # Neither of both.
    assert not (tmp_path / "unwritten").exists()


def test_image_sizes_are_those_of_the_encoder(capsys):
    assert noisyfer_flags.IMAGE_SIZES == IMAGE_SIZES
    given = ["train", "a.csv", "--image-dir", "b", "--image-size", "7"]
    with pytest.raises(SystemExit) as error:
        main(given)
    assert error.value.code == 2
    assert "32, 48, 64, 96, 128, 256" in capsys.readouterr().err
