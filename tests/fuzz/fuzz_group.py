"""Feeds the loaders of a group with damaged files.

`python fuzz_group.py GROUP SEED FOLDER [TARGET]` prints a line of JSON for
each loader. What is read at the moment is in FOLDER/now.json, with the
damaged file beside it.
"""

import collections
import json
import os
import pathlib
import random
import resource
import signal
import sys
import traceback
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from targets import GROUPS  # noqa: E402

SECONDS = 10
# What a loader may take beside what it holds already.
MEGABYTES = 1024


class TooSlow(BaseException):
    """Not an error that a loader could take for one of the file."""


def stop(*_):
    raise TooSlow


def unexpected(error):
    """What is wrong with the way in which a file was refused, or None."""
    # Subclasses are those of a decoder: nobody says which file it was.
    if type(error) is not ValueError and not isinstance(error, OSError):
        return "".join(traceback.format_exception(error)[-6:])
    message = str(error)
    if len(message.splitlines()) > 1 or not message.isprintable():
        return f"a message that is no line: {message!r}"
    if len(message) > 2000:
        return f"a message of {len(message)} characters: {message[:200]}"
    return None


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fuzz(target_class, seed, folder, failures):
    """Returns the number of inputs, and of those that were refused."""
    rng = random.Random(f"{target_class.__name__} {seed}")
    folder = folder / target_class.__name__
    folder.mkdir()
    target = target_class(folder)
    whole = {path: path.read_bytes() for path, _ in target.files}
    target.load()
    memory = peak()
    counts = collections.Counter()
    for index in range(target_class.count):
        path, damage = rng.choice(target.files)
        others = list(whole.values())
        content = damage(rng, whole[path], others)
        target.prepare(rng)
        path.write_bytes(content)
        now = {"input": index, "file": str(path), "on_error": target.on_error}
        (folder.parent / "now.json").write_text(json.dumps(now))
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        problem = None
        try:
            target.load()
            counts["accepted"] += 1
        except TooSlow:
            problem = f"more than {SECONDS} s"
        except Exception as error:
            counts["refused"] += 1
            problem = unexpected(error)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        if peak() > memory + MEGABYTES:
            problem = problem or f"{peak() - memory} MB"
            memory = peak()
        if problem:
            kept = folder.parent / f"{target_class.__name__}_{index}"
            kept.write_bytes(content)
            failures.append({**now, "kept": str(kept), "problem": problem})
        path.write_bytes(whole[path])
    return target_class.count, dict(counts)


def main(group, seed, folder, only=None):
    # A runaway loader must not take the machine with it.
    limit = 24 * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGALRM, stop)
    warnings.simplefilter("ignore")
    for target_class in GROUPS[group]:
        if only not in (None, target_class.__name__):
            continue
        failures = []
        inputs, counts = fuzz(
            target_class, int(seed), pathlib.Path(folder), failures
        )
        result = {"loader": target_class.__name__, "inputs": inputs, **counts}
        print(json.dumps({**result, "failures": failures}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
