"""`tfadv checkpoints`: fetch, import, list and verify the official TF-slim checkpoints."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import click
from tqdm import tqdm

from tfadv.checkpoints import Entry, Status, Store
from tfadv.cli import quiet, shell, tables

STATES = {
    "absent": "-",
    "started": "download begun",
    "published": "here, sha256 as published",
    "recorded": "here, sha256 recorded",
    "damaged": "DAMAGED, fetch it again",
}


def _chosen(context: click.Context, parameter: click.Parameter, folder: str | None) -> None:
    """Take this store, before or behind the name of the command."""
    if folder is not None:
        if context.parent is not None and context.parent.params.get("folder") is not None:
            raise click.UsageError("--store: expected once, got 2 times.", context)
        context.obj = Store(folder)


def _store_option(**how: Any) -> Callable:
    return click.option(
        "--store",
        "folder",
        type=click.Path(file_okay=False),
        help="Folder of the checkpoints. Default: $TFADV_CHECKPOINTS, else the user's cache folder.",
        **how,
    )


of_store = _store_option(callback=_chosen, expose_value=False)


@click.group()
@_store_option()
@click.pass_context
def command(context: click.Context, folder: str | None) -> None:
    """Fetch, import, list and verify the official TF-slim checkpoints.

    They live in one folder, where `--source inception_v3` finds them.

    \b
    tfadv checkpoints list
    tfadv checkpoints fetch inception_v3 ens3_adv_inception_v3
    tfadv checkpoints import ~/Downloads/inception_v3_2016_08_28.tar.gz
    tfadv checkpoints verify
    """
    context.obj = Store(folder)


@command.command("list")
@of_store
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_obj
def list_(store: Store, as_json: bool) -> None:
    """List the official checkpoints and which of them are here.

    \b
    tfadv checkpoints list
    tfadv checkpoints list --json
    """
    rows = [(entry, store.status(net)) for net, entry in store.manifest.items()]
    if as_json:
        nets = [{**dataclasses.asdict(entry), **_described(status)} for entry, status in rows]
        shell.echo(json.dumps({"store": str(store.folder), "nets": nets}, indent=2))
        return
    shell.echo(f"store: {store.folder}")
    head = ("network", "architecture", "classes", "top-1 %", "MB", "state")
    tables.table(head, [_row(entry, status) for entry, status in rows])
    shell.echo("top-1: on ImageNet as published; * on the 1000 images of NIPS 2017. MB in brackets: not here yet.")


@command.command()
@of_store
@click.argument("nets", metavar="NET...", nargs=-1)
@click.option("--paper", is_flag=True, help="The nine networks in the NAA paper's tables.")
@click.option("--all", "everything", is_flag=True, help="Every official checkpoint (about 3.5 GB).")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar on a terminal.")
@click.pass_obj
def fetch(store: Store, nets: tuple[str, ...], paper: bool, everything: bool, progress: bool) -> None:
    """Download official checkpoints that are not here yet.

    A broken download continues where it was when the command is run again.

    \b
    tfadv checkpoints fetch inception_v3
    tfadv checkpoints fetch --paper
    """
    more = [net for net, entry in store.manifest.items() if everything or (paper and entry.paper)]
    chosen = list(dict.fromkeys([*nets, *more]))
    if not chosen:
        raise click.UsageError("expected a network, e.g. `tfadv checkpoints fetch inception_v3`, or --paper or --all.")
    failures = []
    for net in chosen:
        try:
            with _bar(net, progress) as report:
                shell.echo(f"{net}: {store.fetch(net, report)}")
        except (ValueError, OSError) as error:
            failures.append(str(error))
    if failures:
        raise click.ClickException("\n".join(failures))


@command.command("import")
@of_store
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--own", is_flag=True, help="Take weights of your own, whose hash is not the published one.")
@click.pass_obj
def import_(store: Store, paths: tuple[str, ...], own: bool) -> None:
    """Take in checkpoints that were downloaded by hand.

    PATH is an official .tar.gz, a .ckpt file, a part of a V2 checkpoint, or a folder of these. The name says which
    network it is; where it does not, write NET=PATH. The originals are copied and stay. An archive has to have its
    published hash, and any other file the tensors of its network.

    \b
    tfadv checkpoints import inception_v3_2016_08_28.tar.gz
    tfadv checkpoints import ~/models_tf
    tfadv checkpoints import ens3_adv_inception_v3=model.ckpt-1000.index
    """
    quiet.import_tensorflow()  # reads what has no published hash
    for path in paths:
        for net in store.import_([path], own=own):
            shell.echo(f"{net}: {store.path(net)}")


@command.command()
@of_store
@click.argument("nets", metavar="[NET]...", nargs=-1)
@click.pass_obj
def verify(store: Store, nets: tuple[str, ...]) -> None:
    """Read the checkpoints again and compare them with their recorded hashes.

    The exit code is 1 when one is missing, changed or unknown.

    \b
    tfadv checkpoints verify
    tfadv checkpoints verify inception_v3
    """
    verdicts = store.verify(nets or None)
    for verdict in verdicts:
        shell.echo(f"{'ok ' if verdict.ok else 'BAD'} {verdict.net}: {verdict.message}")
    if not verdicts:
        shell.echo(f"nothing to verify: no checkpoint in {store.folder}")
    bad = [verdict.net for verdict in verdicts if not verdict.ok]
    if bad:
        raise click.ClickException(f"{len(bad)} of {len(verdicts)} checkpoints are not as recorded: {', '.join(bad)}.")


def _described(status: Status) -> dict[str, object]:
    return {
        "present": status.present,
        "state": status.state,
        "bytes": status.size,
        "path": str(status.path) if status.path else None,
    }


def _row(entry: Entry, status: Status) -> tuple[str, ...]:
    accuracy = "" if entry.accuracy is None else f"{100 * entry.accuracy:.1f}{'' if entry.imagenet_top1 else '*'}"
    megabytes = f"{status.size / 1e6:.0f}" if status.present else f"({entry.unpacked / 1e6:.0f})"
    return entry.net, entry.architecture, str(entry.classes), accuracy, megabytes, STATES[status.state]


@contextlib.contextmanager
def _bar(net: str, shown: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar that a download can report to; none when not on a terminal."""
    with tqdm(desc=shell.named(net), unit="B", unit_scale=True, leave=False, disable=None if shown else True) as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
