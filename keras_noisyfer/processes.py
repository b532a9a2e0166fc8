"""Calls in processes of their own, which end with this one."""

import concurrent.futures
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any


def call_in_process(function: Callable, *arguments: Any) -> Any:
    """Calls a function in a new process and returns what it returns.

    What the call leaves in memory goes with its process, and one that the
    system kills for want of memory raises `BrokenProcessPool` here.

    Args:
        function: A function that can be pickled, of a module or of a script
            with `if __name__ == "__main__":`.
        *arguments: Its arguments, which can be pickled.
    """
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
        1, context, initializer=_end_with_parent
    ) as pool:
        return pool.submit(function, *arguments).result()


class ProcessExecutor(concurrent.futures.ThreadPoolExecutor):
    """An executor that makes each call in a new process.

    In contrast to `ProcessPoolExecutor`, a process that dies takes no other
    call with it.
    """

    def submit(  # type: ignore[override]
        self, function: Callable, /, *arguments: Any
    ) -> concurrent.futures.Future:
        return super().submit(call_in_process, function, *arguments)


def _end_with_parent():
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent():
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
