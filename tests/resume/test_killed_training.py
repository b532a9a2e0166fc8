import json
import pathlib
import random
import subprocess
import sys
import time

import pytest

# Of each of two runs, which take half as long on two cores.
KILLS = 10
SCRIPT = pathlib.Path(__file__).with_name("resumed_training.py")


def start(folder):
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(tmp_path, capsys, seed):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    begin = time.monotonic()
    assert start(whole).wait() == 0
    seconds = time.monotonic() - begin
    rng = random.Random(seed)
    kills = saving = runs = 0
    while not (killed / "losses.json").exists():
        process = start(killed)
        runs += 1
        unfinished = killed / f"state.npz.{process.pid}.tmp"
        if kills == KILLS:
            assert process.wait() == 0
            break
        # Every second one in the middle of a save, the first that comes after
        # a random moment; the others at that moment.
        moment = time.monotonic() + rng.uniform(0.2, 1.0) * seconds
        during_save = kills % 2
        while process.poll() is None:
            if time.monotonic() >= moment and (
                not during_save or unfinished.exists()
            ):
                process.kill()
                break
            time.sleep(0.0005)
        kills += process.wait() != 0
        saving += unfinished.exists()
        if process.returncode == 0 and kills < KILLS:
            # Through before its moment came: begin anew.
            (killed / "losses.json").unlink()
            (killed / "state.npz").unlink()
    with capsys.disabled():
        print(f"\n{kills} kills, {saving} during a save, in {runs} runs")
    assert kills == KILLS and saving
    found = json.loads((killed / "losses.json").read_text())
    expected = json.loads((whole / "losses.json").read_text())
    assert set(found) == set(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-6), name
