import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys

import pytest

GROUPS = ("tables", "faces", "data_sets", "images", "models")
HERE = pathlib.Path(__file__).parent
INPUTS = 10_000


def run_group(group, folder):
    """What `fuzz_group.py` found, a dict a loader; its errors if it died."""
    folder.mkdir()
    result = subprocess.run(
        [sys.executable, HERE / "fuzz_group.py", group, "0", folder],
        capture_output=True,
        text=True,
        timeout=900,
    )
    reading = folder / "now.json"
    assert result.returncode == 0, (
        f"{group} ended with {result.returncode} at "
        f"{reading.read_text() if reading.exists() else 'its start'}:\n"
        f"{result.stderr[-2000:]}"
    )
    # TFDS prints too.
    lines = result.stdout.splitlines()
    return [json.loads(each) for each in lines if each.startswith('{"')]


@pytest.mark.fuzz
@pytest.mark.timeout(1800)
def test_loaders_refuse_damaged_files_in_one_line(tmp_path, capsys):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [
            pool.submit(run_group, group, tmp_path / group) for group in GROUPS
        ]
        found = [each for run in runs for each in run.result()]
    total = sum(each["inputs"] for each in found)
    with capsys.disabled():
        print()
        for each in found:
            print(
                f"{each['loader']:20} {each['inputs']:6,} inputs, "
                f"{each.get('refused', 0):6,} refused, "
                f"{each.get('accepted', 0):6,} read"
            )
        print(f"{'all':20} {total:6,} inputs")
    failures = [each for one in found for each in one["failures"]]
    assert not failures, json.dumps(failures[:3], indent=1)
    assert total >= INPUTS
