"""`tfadv merge`: joins the shards of a folder that were crafted apart."""

import click

from tfadv.cli import options, shell


@click.command(epilog="Exit code: 0 joined, 1 an error, 2 wrong usage, 130 interrupted.")
@click.argument("out", type=click.Path())
@click.argument("folders", nargs=-1, type=click.Path())
@options.workers
@options.no_progress
def command(out: str, folders: tuple[str, ...], workers: int | None, no_progress: bool) -> None:
    """Join the shards of a folder that `tfadv attack --shard` crafted into FOLDERS, in OUT.

    OUT is a new folder, or one of those in which shards lie. Each file is compared with the hash that its shard wrote;
    attack.json is then that of the run in one go. FOLDERS stay as they are. The same command again continues an
    interrupted one. Shards that were crafted into one folder need no joining: who ends last writes attack.json.

    \b
    tfadv attack mim images/ part1/ --source inception_v3 --shard 1/2
    tfadv attack mim images/ part2/ --source inception_v3 --shard 2/2
    tfadv merge adv/ part1/ part2/
    """
    from tfadv.folders.merge import merge_folders

    bar = None if no_progress else options.progress_bar("merge")
    images = options.interruptible(
        lambda: merge_folders(out, folders, workers=workers, progress=bar),
        options.CONTINUE,
    )
    done = sum(entry["status"] == "done" for entry in images)
    shell.echo(f"{out}: {done} images, {len(images) - done} skipped")
