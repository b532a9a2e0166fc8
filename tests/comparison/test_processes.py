import concurrent.futures.process
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from keras_noisyfer.processes import ProcessExecutor

# A new process imports TensorFlow.
pytestmark = [pytest.mark.slow, pytest.mark.smoke]


def test_each_call_has_a_process_that_dies_alone():
    with ProcessExecutor(1) as executor:
        dead = executor.submit(os._exit, 9)
        alive = executor.submit(os.getpid)
        with pytest.raises(concurrent.futures.process.BrokenProcessPool):
            dead.result()
        assert alive.result() != os.getpid()


def test_a_process_ends_with_its_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, sys, time
            from keras_noisyfer.processes import call_in_process

            def wait(path):
                with open(path, "w") as file:
                    file.write(str(os.getpid()))
                time.sleep(60)

            if __name__ == "__main__":
                call_in_process(wait, sys.argv[1])
            """
        )
    )
    told = tmp_path / "pid"
    parent = subprocess.Popen([sys.executable, script, told])
    for _ in range(600):
        if told.exists() and told.read_text():
            break
        time.sleep(0.1)
    pid = int(told.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        # It may be left to whoever takes up orphans.
        with open(f"/proc/{pid}/stat") as file:
            if file.read().split()[2] == "Z":
                return
        time.sleep(0.1)
    pytest.fail("the process outlived its parent")
