"""Shared options of the commands, the progress bars, and the handling of Ctrl-C."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar, get_args

import click

from tfadv.cli import shell
from tfadv.core.ranges import Count
from tfadv.registry import settings_syntax

#: Exit codes beyond 0 (all images done), 1 (an error) and 2 (wrong usage).
SOME_SKIPPED, INTERRUPTED = 3, 130
#: What is said of an interruption where that holds.
CONTINUE = "Interrupted. The same command again continues where this one stopped."
#: --numbering -> the number that a CSV gives the first class; None: whichever fits.
FIRST_LABEL = {"auto": None, "1000": 0, "1001": 1}

Result = TypeVar("Result")


class Number(click.ParamType):
    """A number of a range, such as `tfadv.core.ranges.Size`: what the library would refuse is wrong usage at once."""

    def __init__(self, annotation: Any) -> None:
        (self.range,) = get_args(annotation)[1:]
        self.name = "integer" if self.range.whole else "float"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        expected = self.range.wrong(self.of(value))
        if expected is not None:
            self.fail(f"expected {expected}, got {value!r}.", parameter, context)
        return self.of(value)

    def of(self, value: Any) -> Any:
        """The number that a text is; the text where it is none."""
        try:
            return (int if self.range.whole else float)(value) if isinstance(value, str) else value
        except ValueError:
            return value


def layout_options(command: Callable) -> Callable:
    """--layout and --class-names: how the images and their classes lie in the folder."""
    from tfadv.files.layouts import AUTO, LAYOUTS

    layout = click.option(
        "--layout",
        type=click.Choice(LAYOUTS),
        default=AUTO,
        show_default=True,
        help="How images and classes lie in IMAGES; auto: as the list of classes in it says, else flat.",
    )
    class_names = click.option(
        "--class-names",
        type=click.Path(),
        metavar="FILE",
        help="For --layout classes: the names of all classes in their order. Default: alphanumeric order.",
    )
    return layout(class_names(command))


numbering = click.option(
    "--numbering",
    "first_label",
    callback=lambda context, parameter, word: FIRST_LABEL[word],
    type=click.Choice(list(FIRST_LABEL)),
    default="auto",
    show_default=True,
    help="How a CSV counts the classes: 1000: from 0; 1001: from 1, background being 0; auto: whichever fits.",
)
input_range = click.option(
    "--input-range",
    nargs=2,
    type=float,
    multiple=True,
    metavar="BLACK WHITE",
    help="What a saved model takes: e.g. -1 1. Once for all saved models, or once for each in their order.",
)
labels_offset = click.option(
    "--labels-offset",
    type=click.Choice(["0", "1"]),
    multiple=True,
    help="A saved model's logit of the first class: 1 where background comes first. Default: 1 for 1001 logits.",
)
output = click.option(
    "--output", "output", multiple=True, metavar="NAME", help="Which of a saved model's several outputs are the logits."
)
trust = click.option(
    "--trust",
    is_flag=True,
    help="Let a saved model run code of its file, such as Lambda layers: if you trust its maker.",
)


def filter_option(help: str) -> Callable[[Callable], Callable]:
    """--filter, with what it is for in this command."""
    from tfadv.files.resizing import DEFAULT, FILTERS  # for the commands that ask for it: help needs no Pillow

    text = f"{help} {DEFAULT}: as tf.image.resize, without antialiasing."
    return click.option("--filter", type=click.Choice(FILTERS), default=DEFAULT, show_default=True, help=text)


def quiet_pillow() -> None:
    """Keep Pillow's warnings off the terminal: what matters of them is reported by name as skipped."""
    from PIL import Image

    for kind in (Image.DecompressionBombWarning, UserWarning):
        warnings.filterwarnings("ignore", category=kind, module="PIL" if kind is UserWarning else "")


def settings(context: click.Context, parameter: click.Parameter, written: tuple[str, ...]) -> dict[str, Any]:
    """{"key": value} of "key=value" words; values are Python's literals, anything else is a word."""
    try:
        return settings_syntax.settings_of(written)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def once(command: click.Command, name: str | None, arguments: list[str], above: click.Context) -> None:
    """Raise UsageError where an option that is given once is given twice: click would take the last one silently."""
    context = click.Context(command, info_name=name, parent=above)
    _, _, given = command.make_parser(context).parse_args(list(arguments))
    counted = Counter(parameter.name for parameter in given)
    for parameter in command.params:
        lasting = isinstance(parameter, click.Option) and not (
            parameter.multiple or parameter.count or (parameter.is_flag and not parameter.secondary_opts)
        )
        if lasting and counted[parameter.name] > 1:
            raise click.UsageError(f"{parameter.opts[0]}: expected once, got {counted[parameter.name]} times.", context)


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(H, W) of "224" or "224x192"."""
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and len(side) < 6 and int(side) for side in sides):
        raise click.BadParameter(f"expected a side or HEIGHTxWIDTH in pixels, got {text!r}.")
    return int(sides[0]), int(sides[-1])


def _batch_size(context: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """The number, or None for "auto"."""
    if text == "auto":
        return None
    count = Number(Count)
    expected = count.range.wrong(count.of(text))
    if expected is not None:
        raise click.BadParameter(f"expected {expected}, or auto, got {text!r}.")
    return count.of(text)


def batch_size(on_gpu: str) -> Callable[[Callable], Callable]:
    """--batch-size of a command that crafts, where a GPU takes so many by itself."""
    text = f"Images computed together; auto: 8 on a CPU, on a GPU {on_gpu}."
    return click.option(
        "--batch-size", callback=_batch_size, default="auto", show_default=True, metavar="COUNT", help=text
    )


def shard_of_text(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """(number, of) of "2/8"."""
    if text is None:
        return None
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
        raise click.BadParameter(f"expected which of how many, such as 2/8, got {text!r}.")
    return int(number), int(of)


def _shard_option(others: str) -> Callable[[Callable], Callable]:
    """--shard; others: what becomes of the other parts."""
    text = f"Only one of so many parts, such as 2/8{others}"
    return click.option("--shard", callback=shard_of_text, metavar="NUMBER/OF", help=text)


shard = _shard_option("; others may write to the same OUT meanwhile, or see `tfadv merge`.")
part = _shard_option(", written with --json; `tfadv merge` joins them.")
some_attacks = _shard_option(
    " of the attacks, without pages; others may work on the same OUT meanwhile, and the command without it writes them."
)
size = click.option("--size", callback=_size, metavar="SIDE|HxW", help="For a source that takes images of any size.")
force_labels = click.option(
    "--force-labels", is_flag=True, help="Go on even if the source's clean predictions disagree with them."
)
workers = click.option(
    "--workers",
    type=Number(Count),
    metavar="COUNT",
    help="Threads that read and write images; no result depends on it. Default: one for each core.",
)
no_progress = click.option(
    "--no-progress", is_flag=True, help="No progress bar; there is none either where stderr is no terminal."
)


def arithmetic() -> list[click.Option]:
    """The options of every command that computes: where, and how exactly; see `tfadv.core.devices.use`."""
    return [
        click.Option(["--device"], metavar="DEVICE", help="cpu, gpu or gpu:N. Default: a GPU where there is one."),
        click.Option(
            ["--precision"],
            type=click.Choice(["float32", "tf32"]),
            help="What a GPU multiplies in. Default: TensorFlow's own choice, tf32 where the GPU has it.",
        ),
        click.Option(
            ["--deterministic/--no-deterministic"],
            default=True,
            show_default=True,
            help="The same bytes on every run with a GPU; without, some GPUs are a fifth faster.",
        ),
    ]


def progress_bar(title: str) -> Callable[..., Any] | None:
    """A `tqdm` with images/s and the remaining time for standard error; None where that is no terminal."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    columns, rows = shutil.get_terminal_size()  # tqdm would draw nothing on a terminal that does not tell its size
    shape = "{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{rate_noinv_fmt}, {remaining} left]"
    return functools.partial(tqdm, desc=shell.named(title), unit=" images", bar_format=shape, ncols=columns, nrows=rows)


@contextlib.contextmanager
def progress(title: str, total: int, no_progress: bool) -> Iterator[Callable[[int], Any] | None]:
    """A progress bar around a block: a function that is called with how many are newly done; None without a bar."""
    make = None if no_progress else progress_bar(title)
    with make(total=total) if make else contextlib.nullcontext() as bar:
        yield bar.update if bar else None


@contextlib.contextmanager
def training_bar(title: str, rows: int, epochs: int, batch: int, no_progress: bool) -> Iterator[dict[str, Any]]:
    """The report and progress of `tfadv.training.loop.train`: a line for each epoch, above the bar if there is one."""
    make = None if no_progress else progress_bar(title)
    bar = make(total=epochs * (rows // batch) * batch) if make else None

    def report(epoch: int, loss: float) -> None:
        if bar is not None:
            bar.clear()
        shell.echo(f"epoch {epoch} of {epochs}: mean loss {loss:.6f}")
        if bar is not None:
            bar.refresh()

    try:
        yield (
            {"report": report} if bar is None else {"report": report, "progress": lambda done: bar.update(done * batch)}
        )
    finally:
        if bar is not None:
            bar.close()


def interruptible(work: Callable[[], Result], message: str) -> Result:
    """work(), where Ctrl-C is heard at once and not when TensorFlow returns from a batch.

    The work runs in a thread of its own. On Ctrl-C the message is shown and the process ends with `INTERRUPTED`, at
    once, since what the work writes is whole at any moment.
    """
    outcome: Future = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # it is raised again where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    from tfadv.files import remote_records

    try:
        return outcome.result()
    except KeyboardInterrupt:
        shell.echo(f"\n{message}", err=True)
        if outcome.done():
            sys.exit(INTERRUPTED)
        sys.stderr.flush()
        remote_records.remove_copies()
        os._exit(INTERRUPTED)
