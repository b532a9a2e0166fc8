import concurrent.futures
import json
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = pathlib.Path(__file__).with_name("resumed_training.py")


def start(folder):
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "runs, kills",
    # Two at a time, for two cores.
    [pytest.param(1, 1, marks=pytest.mark.smoke), (2, 10)],
)
def test_killed_at_random_moments(tmp_path, capsys, runs, kills):
    whole = tmp_path / "whole"
    begin = time.monotonic()
    assert start(whole).wait() == 0
    seconds = time.monotonic() - begin
    expected = json.loads((whole / "losses.json").read_text())

    def check(seed):
        killed = tmp_path / str(seed)
        counts = train_and_kill(killed, seed, seconds, kills)
        found = json.loads((killed / "losses.json").read_text())
        assert set(found) == set(expected)
        for name, values in expected.items():
            assert found[name] == pytest.approx(values, abs=1e-6), name
        return counts

    with concurrent.futures.ThreadPoolExecutor() as pool:
        counts = list(pool.map(check, range(runs)))
    killed, saving, processes = map(sum, zip(*counts, strict=True))
    with capsys.disabled():
        print(f"\n{killed} kills, {saving} in a save, in {processes} processes")
    assert killed == runs * kills
    # Of each run's kills every second one is in a save.
    assert all(each for _, each, _ in counts) or kills == 1


def train_and_kill(folder, seed, seconds, wanted):
    """Starts a training of so many seconds until it is through, and kills it
    so many times.

    Returns:
        Numbers of kills, of those in the middle of a save, of processes.
    """
    rng = random.Random(seed)
    kills = saving = processes = 0
    while not (folder / "losses.json").exists():
        process = start(folder)
        processes += 1
        unfinished = folder / f"state.npz.{process.pid}.tmp"
        if kills == wanted:
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
        assert process.wait() in (0, -signal.SIGKILL)
        kills += process.returncode != 0
        saving += unfinished.exists()
        if process.returncode == 0 and kills < wanted:
            # Through before its moment came: begin anew.
            (folder / "losses.json").unlink()
            (folder / "state.npz").unlink()
    return kills, saving, processes
