"""Keeps the processes that make the shards of a folder at work until all of it is done, and counts its images.

A process is anything that runs the command with --shard: a child on this machine (`tfadv.cli.devices`), a task on a
cluster (`tfadv.cli.on_ray`). One that dies is started again and goes on from its journal.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import click

from tfadv.cli import options, shell
from tfadv.files.record_files import Files
from tfadv.files.records import SHARD
from tfadv.files.shards import Shard

#: The exit code of a process that has made its shard, where others have not.
OTHERS_ARE_LEFT = 4
#: The exit codes of a shard that is made, and of what no second try changes: an error, wrong usage.
MADE, WRONG = (0, options.SOME_SKIPPED, OTHERS_ARE_LEFT), (1, 2)
#: After so many deaths of a process in a row without a new image nobody tries again.
DEATHS = 3
#: How often processes and journals are looked at, in seconds, unless there are hundreds.
PAUSE = 0.2
#: How many of the last lines of a process that died are shown.
LINES = 10


class Part:
    """The object of a command's context where the command is one of several such processes."""


class Ended(NamedTuple):
    """How a process ended: its exit code, None without one, and what it wrote to its standard output and error."""

    code: int | None
    said: str
    complained: str


class Running(Protocol):
    """A process at work."""

    def ended(self) -> Ended | None:
        """How it ended; None while it is at work."""

    def stop(self) -> None:
        """End it at once."""


def together(starters: Sequence[Callable[[], Running]], counted: Counted) -> list[Ended]:
    """Start a process for each shard, and those that die again; returns how each ended, in that order.

    What they complain of is shown when they end, each line once. The first error ends all, and is the last of them.

    Raises ClickException where a process dies again and again.
    """
    shown, deaths, made = set[str](), [0] * len(starters), list[Ended]()
    before, at_work = list(counted.lines), dict[int, Running]()
    try:
        for place, start in enumerate(starters):
            at_work[place] = start()
        while at_work:
            time.sleep(max(PAUSE, len(at_work) / 500))
            counted.look()
            for place, running in list(at_work.items()):
                ended = running.ended()
                if ended is None:
                    continue
                del at_work[place]
                if ended.code in (*MADE, *WRONG):
                    lines = [line for line in ended.complained.splitlines() if line not in shown]
                    shown.update(lines)
                    counted.tell(lines)
                    made.append(ended)
                    if ended.code in WRONG:
                        return made
                    continue
                counted.look()
                deaths[place] = 1 if counted.lines[place] > before[place] else deaths[place] + 1
                before[place] = counted.lines[place]
                if deaths[place] >= DEATHS:
                    raise click.ClickException(_dead(Shard(place + 1, len(starters)), ended))
                at_work[place] = starters[place]()
    finally:
        for running in at_work.values():
            running.stop()
    counted.look(whole=True)
    return made


def of_whole_folder(made: Sequence[Ended]) -> Ended:
    """How the process ended that found the folder whole, or met an error. Raises ClickException where none is."""
    for ended in reversed(made):
        if ended.code != OTHERS_ARE_LEFT:
            return ended
    raise click.ClickException("all processes have ended, but the folder is not whole. Give the command again.")


def _dead(shard: Shard, ended: Ended) -> str:
    how = "its worker was lost" if ended.code is None else f"exit code {ended.code}"
    if ended.code is not None and ended.code < 0:
        how = f"signal {-ended.code}, {signal.strsignal(-ended.code)}"
    lines = "\n".join(ended.complained.splitlines()[-LINES:]) or "nothing"
    return (
        f"the process of shard {shard} died {DEATHS} times in a row without a new image ({how}). The same command "
        f"again continues; with fewer --devices each has more memory. The last that it said: {lines}"
    )


class Counted:
    """Counts the images of a folder as they are done, by the lines of its journals, and shows a progress bar.

    lines: how many images each journal has, that of the first shard first. What was read is not read again.

    Args:
        folder, files: in which they lie, and how they are called.
        count: how many shards there are.
        make: what makes a bar, like `tqdm.tqdm`; None for none.
    """

    def __init__(self, folder: str | os.PathLike, files: Files, count: int, make: Callable[..., Any] | None) -> None:
        self.make = None if Path(folder, files.record).exists() else make  # a whole folder is only looked through
        own = [Path(folder, files.of_shard(Shard(number, count)).journal) for number in range(1, count + 1)]
        self.journals = [*own, *(path for path in files.journals(folder) if path not in own)]  # of an earlier run
        self.lines, self.places = [0] * len(self.journals), [0] * len(self.journals)
        self.total = 0
        self.bar: Any = None
        self.look()

    def look(self, whole: bool = False) -> None:
        """Read what is new, and move the bar; to its end once the folder is whole."""
        before = sum(self.lines)
        for number, journal in enumerate(self.journals):
            with contextlib.suppress(OSError):  # there is none yet, or no more
                if journal.stat().st_size > self.places[number]:
                    self._read(number, journal)
        if self.make is not None and self.total:
            self.bar = self.bar or self.make(total=self.total, initial=before)
            self.bar.update((self.total if whole else min(sum(self.lines), self.total)) - self.bar.n)

    def _read(self, number: int, journal: Path) -> None:
        with open(journal, "rb") as file:
            file.seek(self.places[number])
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                if self.places[number]:
                    self.lines[number] += 1
                else:
                    self._begin(line)
                self.places[number] += len(line)

    def _begin(self, line: bytes) -> None:
        """Take the number of images from the head of a journal: of all where it says that, else of its shard."""
        with contextlib.suppress(ValueError, KeyError, TypeError):
            head = json.loads(line)
            self.total = int(head["inputs"]["count"] if "inputs" in head else self.total + head[SHARD]["images"])
            if self.bar is not None:
                self.bar.total = self.total

    def tell(self, lines: list[str]) -> None:
        """Write lines to standard error, above the bar."""
        if self.bar is not None:
            self.bar.clear()
        for line in lines:
            shell.echo(line, err=True)
        if self.bar is not None:
            self.bar.refresh()

    def close(self) -> None:
        """Leave the bar as it is."""
        if self.bar is not None:
            self.bar.close()
