"""Runs the shards of a command as tasks on a Ray cluster whose nodes see the same folders.

A task runs the command within its worker, so that it ends with it. One that is lost with its worker or node is given to
the cluster again by `tfadv.cli.together`, which counts the images that it made before: Ray itself would try for ever.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from tfadv.cli.devices import Words, bounds
from tfadv.cli.together import Ended, Part, Running

try:
    import ray
except ImportError as error:
    raise ImportError("--ray: expected Ray to be installed. `pip install tfadv[ray]` does that.") from error

#: How long, in seconds, a task waits for the process to be gone that had its shard before, on a node believed dead.
PATIENCE = 60.0


class Task:
    """A task of a cluster; `submit` gives it to Ray."""

    def __init__(self, submit: Callable[[], Any]) -> None:
        self.reference = submit()

    def ended(self) -> Ended | None:
        """See `Running`. Raises what the task raised where the command could not be called."""
        if not ray.wait([self.reference], timeout=0)[0]:
            return None
        try:
            return ray.get(self.reference)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:  # the worker or its node is gone
            return Ended(None, "", str(error))

    def stop(self) -> None:
        """See `Running`."""
        ray.cancel(self.reference, force=True)


@contextlib.contextmanager
def tasks(address: str, asked: Any, on_cpu: bool, words: Words) -> Iterator[list[Callable[[], Running]]]:
    """What starts the task of each shard: one for each GPU of the cluster, or as many as are asked for.

    Args:
        address: of the cluster; "auto": the one that this machine is a node of.
        asked: how many, or None or "all".
        on_cpu: without GPUs.
        words: the command line of each.

    Raises UsageError where nothing says how many; ConnectionError where there is no cluster.
    """
    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as leaving:  # Ray tells of lost nodes there
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        leaving.callback(ray.shutdown)
        there = ray.cluster_resources()
        gpus = 0 if on_cpu else int(there.get("GPU", 0))
        count = asked if isinstance(asked, int) else gpus
        if isinstance(asked, tuple) or not count:
            raise click.UsageError(f"--ray: expected --devices N, how many tasks; the cluster has {gpus} GPUs.")
        threads = max(1, int(there.get("CPU", 1)) // count)
        task = ray.remote(
            num_cpus=1,
            num_gpus=1 if gpus else 0,
            max_calls=1,  # a process of its own for each, whose memory is free after it
            max_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": bounds(threads)},
        )(part)

        def starter(number: int) -> Callable[[], Running]:
            return lambda: Task(lambda: task.remote(words(number, count, bool(gpus), threads), os.getcwd()))

        yield [starter(number) for number in range(1, count + 1)]


def part(words: list[str], folder: str) -> Ended:
    """Run the command with these words in this folder, within this process; returns how it ended."""
    os.chdir(folder)
    said, complained, until = io.StringIO(), io.StringIO(), time.monotonic() + PATIENCE
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        while (code := _run(words, time.monotonic() < until)) is None:
            time.sleep(1)
    return Ended(code, said.getvalue(), complained.getvalue())


def _run(words: list[str], patient: bool) -> int | None:
    """The exit code of the command; None where another is writing its shard, and that may be waited for."""
    from tfadv.cli import main

    try:
        return main(words, prog_name="tfadv", standalone_mode=False, obj=Part()) or 0
    except click.ClickException as error:
        if patient and isinstance(error.__cause__, BlockingIOError):
            return None
        error.show(sys.stderr)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
