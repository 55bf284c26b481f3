"""Runs a command that knows --shard in several processes at once: --devices on this machine, --ray on a cluster.

Each process makes a shard of the folder, and the folder is all that they share. TensorFlow is not imported here: this
process starts the others, shows how far they are, and tells what the one of them says that finds the folder whole.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from tfadv.cli import options, quiet, shell
from tfadv.cli.together import OTHERS_ARE_LEFT, Counted, Ended, Part, Running, of_whole_folder, together
from tfadv.core.thread_pool import cores
from tfadv.files.record_files import ATTACK, Files

#: What a child process runs; it finds the same modules as this one.
PROGRAM = "import sys; sys.path[:] = {path!r}; from tfadv.cli import devices; devices.child()"
#: The command line of a process: of its number, how many there are, whether it has a GPU, how many threads.
Words = Callable[[int, int, bool, int], list[str]]


class SpreadCommand(click.Command):
    """A command that knows --shard, with --devices and --ray.

    Args:
        record: the names of the record and journals of its folder.
        out: that folder, of the command's parameters.

    The command gives its report to `of_folder` before it tells it. One that makes no folder has a class of its own,
    with another `spread`.
    """

    def __init__(
        self,
        *given: Any,
        record: Files = ATTACK,
        out: Callable[[dict[str, Any]], str] = lambda chosen: "",
        **more: Any,
    ) -> None:
        super().__init__(*given, **more)
        self.record, self.out = record, out
        self.params += [
            click.Option(
                ["--devices"],
                callback=_devices,
                metavar="all|N|0,2,3",
                help="A process for each GPU: all, N or these of them. Without a GPU: N processes, or one.",
            ),
            click.Option(
                ["--ray"],
                metavar="auto|ADDRESS",
                help="A process for each GPU of a Ray cluster, or N; see docs/howto/many_machines.md.",
            ),
        ]

    def parse_args(self, context: click.Context, words: list[str]) -> list[str]:
        """As click has it; what was typed is kept for the other processes."""
        context.meta[__name__] = list(words)
        return super().parse_args(context, words)

    def invoke(self, context: click.Context) -> Any:
        """Run the command; in several processes where that is asked for."""
        chosen = context.params
        asked, address = chosen.pop("devices"), chosen.pop("ray")
        if asked is None and address is None or is_part():
            return super().invoke(context)
        if chosen.get("shard"):
            raise click.UsageError("--shard makes one part here, --devices and --ray make all: leave one of them out.")
        quiet.check_temporary()
        try:
            self.spread(context, functools.partial(self._made, context, asked, address))
        except KeyboardInterrupt:
            shell.echo(f"\n{options.CONTINUE}", err=True)
            context.exit(options.INTERRUPTED)

    def spread(self, context: click.Context, run: Callable[[], list[Ended]]) -> None:
        """Run the processes, and tell what they made."""
        last = of_whole_folder(run())
        shell.echo(last.said, nl=False)
        context.exit(last.code or 0)

    def _made(self, context: click.Context, asked: Any, address: str | None) -> list[Ended]:
        """How the processes ended."""
        chosen = context.params
        with _starters(context, asked, address) as starters:
            title = f"{context.info_name}, {len(starters)} process{'es' if len(starters) > 1 else ''}"
            bar = None if chosen.get("no_progress") else options.progress_bar(title)
            with contextlib.closing(Counted(self.out(chosen), self.record, len(starters), bar)) as counted:
                return together(starters, counted)


def is_part() -> bool:
    """Whether this process is one of several that make parts of what was asked for."""
    return click.get_current_context().find_object(Part) is not None


def of_folder(report: Any) -> Any:
    """The report that a command tells: that of all of the folder, where it is one of several processes.

    report: of a shard or not, such as `tfadv.folders.craft.CraftReport`. Where others are not done there is nothing to
    tell but which files were made again, and the command ends.
    """
    if not is_part():
        return report
    if not report.joined:
        shell.tell_folder([], report.remade, report.without_hashes)
        sys.exit(OTHERS_ARE_LEFT)
    return report.whole


@contextlib.contextmanager
def _starters(context: click.Context, asked: Any, address: str | None) -> Iterator[Sequence[Callable[[], Running]]]:
    """What starts the process of each shard."""
    device = context.params.get("device")
    on_cpu = device is not None and device.lower() == "cpu"
    if device is not None and not on_cpu:
        raise click.UsageError(f"--device {device}: expected cpu or nothing beside --devices and --ray.")

    def words(number: int, count: int, on_gpu: bool, threads: int) -> list[str]:
        added = ["--shard", f"{number}/{count}", *(["--device", "gpu"] if on_gpu else [])]
        if context.params.get("workers", 0) is None:
            added += ["--workers", str(threads)]
        return [str(context.info_name), *added, *context.meta[__name__]]

    if address is None:
        yield _children(asked, on_cpu, words)
        return
    from tfadv.cli import on_ray

    with on_ray.tasks(address, asked, on_cpu, words) as starters:
        yield starters


def _children(asked: Any, on_cpu: bool, words: Words) -> list[Callable[[], Running]]:
    """What starts a child process for each GPU, or so many that share the processor."""
    chosen = [] if on_cpu else _chosen(gpus(), asked)
    if isinstance(asked, tuple) and not chosen:
        raise click.UsageError("--devices: there is no GPU to choose; expected how many processes, or all.")
    count = len(chosen) or (asked if isinstance(asked, int) else 1)
    threads = max(1, cores() // count)

    def starter(number: int) -> Callable[[], Running]:
        own = {"CUDA_VISIBLE_DEVICES": chosen[number - 1]} if chosen else {}
        return lambda: Child(words(number, count, bool(chosen), threads), bounds(threads) | os.environ | own)

    return [starter(number) for number in range(1, count + 1)]


def bounds(threads: int) -> dict[str, str]:
    """The environment of a process that computes with so many threads."""
    return {f"TF_NUM_{kind}_THREADS": str(threads) for kind in ("INTRAOP", "INTEROP")}


class Child:
    """A child process, of words of the command line; it ends when this process ends, however that does."""

    def __init__(self, words: Sequence[str], environment: dict[str, str]) -> None:
        self.said, self.complained = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(path=sys.path), *words],
            stdin=subprocess.PIPE,  # nothing is written to it: its end tells the child that we are gone
            stdout=self.said,
            stderr=self.complained,
            env=environment,
            start_new_session=True,  # Ctrl-C is for us alone
        )

    def ended(self) -> Ended | None:
        """See `Running`."""
        code = self.process.poll()
        if code is None:
            return None
        for file in (self.said, self.complained):
            file.seek(0)
        said, complained = (file.read().decode("utf-8", "replace") for file in (self.said, self.complained))
        self._close()
        return Ended(code, said, complained)

    def stop(self) -> None:
        """See `Running`; what it writes is whole at any moment."""
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        for file in (self.process.stdin, self.said, self.complained):
            file.close()  # type: ignore[union-attr]


def child() -> None:
    """What a child process does: the command of its arguments, until it is done or its parent is gone."""
    from tfadv.cli import main

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    main(prog_name="tfadv", obj=Part())


def gpus() -> list[str]:
    """The GPUs that CUDA shows to this process, as CUDA_VISIBLE_DEVICES would name them; its driver is asked."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count.value)) if visible is None else map(str.strip, visible.split(","))
    return list(names)[: count.value]


def _chosen(there: list[str], asked: Any) -> list[str]:
    """Those of the GPUs that are asked for; none where there are none. Raises UsageError where there are fewer."""
    numbers = asked if isinstance(asked, tuple) else range(len(there) if asked == "all" else asked)
    if there and max(numbers) >= len(there):
        got = ", ".join(map(str, asked)) if isinstance(asked, tuple) else asked
        raise click.UsageError(
            f"--devices: expected some of the {len(there)} GPUs, counted from 0, got {got}. With --device cpu any "
            "number of processes share the processor."
        )
    return [there[number] for number in numbers] if there else []


def _devices(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> str | int | tuple[int, ...] | None:
    """ "all", how many, or which."""
    if text is None or text == "all":
        return text
    numbers = [int(word) if word.isascii() and word.isdecimal() else -1 for word in text.split(",")]
    if min(numbers) < 0 or len(set(numbers)) < len(numbers) or numbers == [0]:
        raise click.BadParameter(f"expected all, how many, or which, such as 0,2,3, got {text!r}.")
    return tuple(numbers) if len(numbers) > 1 else numbers[0]
