"""`tfadv merge`: joins the shards of a folder that were made apart, and the parts of an evaluation."""

import os

import click

from tfadv.cli import evaluate, options, shell


@click.command(
    epilog="Exit code: 0 joined, 1 an error, 2 wrong usage, 3 some pairs of an evaluation not judged, 130 interrupted."
)
@click.argument("out", type=click.Path())
@click.argument("parts", nargs=-1, type=click.Path())
@evaluate.as_csv
@evaluate.as_card
@options.workers
@options.no_progress
def command(
    out: str,
    parts: tuple[str, ...],
    csv_path: str | None,
    card_path: str | None,
    workers: int | None,
    no_progress: bool,
) -> None:
    """Join what runs with --shard made in PARTS, in OUT.

    PARTS are folders of `tfadv attack --shard` or `tfadv defend --shard`; OUT is a new folder, or one of those in which
    shards lie. Each file is compared with the hash that its shard wrote; attack.json or defence.json is then that of
    the run in one go. PARTS stay as they are. The same command again continues an interrupted one. Shards that were
    made into one folder need no joining: who ends last writes the record.

    Or PARTS are what `tfadv evaluate --shard --json` wrote; OUT is then the JSON of the evaluation in one go, - is
    stdout, and its tables are shown. --csv and --card are for these alone.

    \b
    tfadv attack mim images/ part1/ --source inception_v3 --shard 1/2
    tfadv attack mim images/ part2/ --source inception_v3 --shard 2/2
    tfadv merge adv/ part1/ part2/
    tfadv evaluate images/ adv/ --target inception_v4 --shard 1/2 --json part1.json
    tfadv evaluate images/ adv/ --target inception_v4 --shard 2/2 --json part2.json
    tfadv merge result.json part1.json part2.json
    """
    if any(map(os.path.isfile, parts)):
        from tfadv.folders.evaluated_parts import joined

        evaluate.check_paths(out, csv_path, card_path, parts)
        evaluate.tell(joined(parts), out, csv_path, card_path)
        return
    from tfadv.folders.merge import merge_folders

    if csv_path is not None or card_path is not None:
        raise click.UsageError("--csv and --card are for parts of an evaluation, JSON files.")
    bar = None if no_progress else options.progress_bar("merge")
    images = options.interruptible(
        lambda: merge_folders(out, parts, workers=workers, progress=bar),
        options.CONTINUE,
    )
    done = sum(entry["status"] == "done" for entry in images)
    shell.echo(f"{out}: {done} images, {len(images) - done} skipped")
