import dataclasses
import pathlib
import sys

import pytest
from common import RECIPES

from keras_noisyfer.comparison import METHODS
from keras_noisyfer.comparison.experiment_file import read_experiment

EXPERIMENTS = RECIPES / "experiments"
PROFILE = """
[profiles.small]
validation_size = 12
image_size = 32
epochs = 2
warmup_epochs = 1
batch_size = 20
learning_rate = 1e-3
decay = true
augmentation = false
width = 0.0625
batch_normalization = true
dropout = 0.0
lambda_joint = 0.4
"""
OWN = """
title = "Two methods"
data = "cifar10"
metrics = ["object_accuracy"]
[[settings]]
name = "mine"
methods = ["sce", "proposed"]
options = { gamma = 2.0 }
method_options.proposed = { lambda_joint = 0.1 }
"""


def read(name, profile="small"):
    return read_experiment(EXPERIMENTS / f"{name}.toml", profile)


def test_tables_have_the_papers_cells():
    table1, table3 = read("table1"), read("table3_cifar10")
    assert (len(table1.cells()), len(table3.cells())) == (14, 10)
    # The two methods that both tables have are trained once.
    folders = [{c.folder for c in each.cells()} for each in (table1, table3)]
    assert len(folders[0] & folders[1]) == 2
    assert table1.folder == table3.folder
    single, multi = table3.settings
    assert (single.annotators, multi.annotators) == (1, None)
    assert single.paper["object_accuracy"]["proposed"] == 0.8478
    raf = read("table2_raf")
    assert len(raf.cells()) == 6
    assert {c.options["lambda_joint"] for c in raf.cells()} == {1.0}
    assert all(set(s.paper) == {"expression_accuracy"} for s in raf.settings)
    affectnet = read("table2_affectnet")
    assert [c.tasks for c in affectnet.cells()].count(["affect"]) == 2
    numbers = affectnet.settings[-1].paper.values()
    assert [each["proposed"] for each in numbers] == [0.4608, 0.6727, 0.1248]
    for name in ("table2_faces", "table3_faces", "table3_affectnet"):
        assert not any(setting.paper for setting in read(name).settings)
    # Machine labels' noise rate is not known, that of drawn faces is.
    told = [
        c for c in read("table2_faces").cells() if "forget_rate" in c.options
    ]
    assert [cell.method for cell in told] == ["co-teaching"]


@pytest.mark.parametrize("data", ["cifar10", "raf", "affectnet", "faces"])
def test_lambda_study_shares_the_papers_weight_with_table3(data):
    study = read(f"lambda_{data}")
    weights = [
        cell.options.get("lambda_joint", study.profile.lambda_joint)
        for cell in study.cells()
    ]
    assert weights == [0.2, 0.4, 0.6, 0.8, 1.0, "auto"]
    whole = [
        c for c in read(f"table3_{data}").cells() if c.method == "proposed"
    ]
    assert [c for c in study.cells() if c in whole] == whole[-1:]


def test_every_experiment_has_both_profiles_but_its_own():
    names = {path.stem for path in EXPERIMENTS.glob("*_*.toml")}
    assert len(names) == 16
    own = {"automatic_balance", "best_recipe", "long_faces"}
    for name in names - own | {"table1"}:
        small, paper = read(name), read(name, "paper")
        assert small.profile.width < paper.profile.width == 1
        assert small.settings == paper.settings


def test_long_training_differs_in_faces_and_augmentation_alone():
    profiles = {
        name: dataclasses.asdict(read("long_faces", name).profile)
        for name in ("small", "augmented", "large", "large-augmented")
    }
    sizes = [(p["train_size"], p["augmentation"]) for p in profiles.values()]
    assert sizes == [(2000, False), (2000, True), (8000, False), (8000, True)]
    for profile in profiles.values():
        # As many steps, and as many of them before the game.
        for epochs in ("epochs", "warmup_epochs"):
            steps = profile.pop(epochs) * profile["train_size"] / 32
            assert steps == {"epochs": 1e4, "warmup_epochs": 1e3}[epochs]
        del profile["train_size"], profile["augmentation"]
        assert profile == profiles["small"]


def test_an_experiment_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(OWN + PROFILE)
    experiment = read_experiment(path)
    assert experiment.name == "mine" and experiment.profile.train_size is None
    cells = experiment.cells(seeds=(0, 3), methods=["proposed"])
    assert [cell.seed for cell in cells] == [0, 3]
    assert cells[0].options == {"gamma": 2.0, "lambda_joint": 0.1}
    assert cells[0].folder == pathlib.Path("cells/mine/proposed/seed0")
    # What another file says holds where this one is silent.
    other = tmp_path / "other.toml"
    other.write_text('extends = "mine.toml"\ntitle = "Other"\nfolder = "x"\n')
    extended = read_experiment(other)
    assert (extended.title, extended.folder, extended.name) == (
        "Other",
        "x",
        "other",
    )
    assert extended.settings == experiment.settings


def test_files_do_not_extend_each_other_in_a_circle(tmp_path):
    for name, other in (("mine", "other"), ("other", "mine")):
        (tmp_path / f"{name}.toml").write_text(f'extends = "./{other}.toml"')
    with pytest.raises(ValueError, match="`extends` must not lead.*mine.toml"):
        read_experiment(tmp_path / "mine.toml")


def test_a_profile_extends_another(tmp_path):
    path = tmp_path / "mine.toml"
    longer = '[profiles.long]\nextends = "small"\nepochs = 9\n'
    path.write_text(OWN + PROFILE + longer)
    small, long = (read_experiment(path, p).profile for p in ("small", "long"))
    assert long == dataclasses.replace(small, epochs=9) != small
    # Also one of a file that is extended, seen from a link in another folder.
    base = tmp_path / "base.toml"
    path.rename(base)
    own = tmp_path / "elsewhere" / "own.toml"
    own.parent.mkdir()
    longer = '[profiles.longer]\nextends = "long"\nwidth = 1\n'
    own.write_text(f'extends = "base.toml"\n{longer}')
    path.symlink_to(own)
    longer = read_experiment(path, "longer").profile
    assert longer == dataclasses.replace(small, epochs=9, width=1)
    assert read_experiment(path).profile == small


def test_modules_that_register_methods_are_imported(tmp_path, monkeypatch):
    (tmp_path / "my_methods.py").write_text(
        "import keras_noisyfer as kn\n"
        '@kn.comparison.method("mine", "Mine")\n'
        "def mine(encoder, data, options):\n"
        "    return kn.MultiTaskModel(encoder)\n"
    )
    # It lies beside the file that names it.
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "own.toml"
    text = OWN.replace('"sce"', '"mine"')
    path.write_text(f'imports = ["my_methods"]\n{text}{PROFILE}')
    try:
        assert read_experiment(path).methods == ["mine", "proposed"]
        # Also seen from another folder.
        sys.path[:] = [each for each in sys.path if each != str(tmp_path)]
        sys.modules.pop("my_methods")
        METHODS.pop("mine")
        other = tmp_path / "other" / "other.toml"
        other.parent.mkdir()
        other.write_text('extends = "../own.toml"')
        assert read_experiment(other).methods == ["mine", "proposed"]
    finally:
        METHODS.pop("mine", None)
        sys.modules.pop("my_methods", None)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('"sce"', '"best"', "`methods` must be one of .* Received: 'best'"),
        ('"cifar10"', '"mnist"', "`data` must be one of .* Received: 'mnist'"),
        ("title", 'figures = ["art"]\ntitle', "`figures` .* Received: 'art'"),
        ("title", 'columns = "seed"\ntitle', "`columns` .* Received: 'seed'"),
        ("title", "colour = 1\ntitle", "unexpected keyword argument 'colour'"),
        ("title", 'imports = ["nowhere"]\ntitle', "can be imported.*nowhere"),
        ("epochs = 2", 'epochs = "2"', "`epochs` must be .*Received: '2'"),
        ("epochs = 2", "epochs = 0", "`epochs` must be above 0"),
        ("decay = true", 'decay = "no"', "`decay` must be true or false"),
        ("width = 0", "width = -0", "`width` must be above 0"),
        ("s.proposed", "s.elr", "`method_options` must be one of sce, .*'elr'"),
        ("s.proposed = {", "s.sce = 1 #", "`method_options` must be a table"),
        ("options = {", "options = [] #", "`options` must be a table"),
        ("options = {", "paper = 3 #", "`paper` must be a table. .*: 3"),
        (
            "options = {",
            "annotators = 'a' #",
            "`annotators` must be at least 1, an",
        ),
        ("gamma = 2", "learning_rate = -2", "`learning_rate` must be above 0"),
        ('["sce", "proposed"]', "[]", "`methods` must be a list of names"),
        ('"mine"', '".."', "`name` must have letters a to z or digits"),
        (
            "[[settings]]",
            "[profiles.other]",
            "`settings` must be tables, a",
        ),
        ("title", "imports = [3]\ntitle", "can be imported.*3"),
        ("title", "extends = 3\ntitle", "`extends` must be a file. .*: 3"),
        (
            "[[settings]]",
            "[[settings]]\nname = 'MINE'\nmethods = ['sce']\n[[settings]]",
            "`settings` must have different names.*: mine, mine",
        ),
        ("title", "data_options = 3\ntitle", "`data_options` must be a table"),
        ("lambda_joint =", "strength =", "`strength` is an option of elr"),
        ("gamma =", "gama =", "`options` must be one of .*: 'gama'"),
        ("epochs = 2", "epoch = 2", "unexpected keyword argument 'epoch'"),
        (
            "profiles.small",
            "profiles.big",
            "`profile` must be one of big. .*small",
        ),
        ("epochs = 2", 'extends = "a"', "`extends` must be .* small. .*'a'"),
        ("epochs = 2", "extends = [1]", "`extends` must be one of small. .*1"),
        ("epochs = 2", 'extends = "small"', "`extends` must not lead .*small"),
        ('name = "mine"', "", "missing .* argument: 'name'"),
        ("title = ", "title ", "Expected '='"),
    ],
)
def test_errors_are_a_line_that_names_the_file(tmp_path, old, new, message):
    path = tmp_path / "mine.toml"
    path.write_text((OWN + PROFILE).replace(old, new, 1))
    with pytest.raises(ValueError, match=f"mine.toml must be .*{message}") as e:
        read_experiment(path)
    assert "\n" not in str(e.value)
    with pytest.raises(ValueError, match="No such file"):
        read_experiment(tmp_path / "other.toml")
