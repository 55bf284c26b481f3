"""`tfadv export`: writes adversarial images in the layout of another tool."""

import sys

import click

from tfadv.cli import options, shell


@click.command(epilog="Exit code: 0 all images written, 3 some left out, 1 an error, 2 wrong usage.")
@click.argument("adversarial", type=click.Path())
@click.argument("out", type=click.Path(), required=False)
@click.option(
    "--layout",
    type=click.Choice(["huggingface", "transferattack", "nips2017"]),
    required=True,
    help="Of which tool; see docs/howto/your_files.md.",
)
@options.workers
def command(adversarial: str, out: str | None, layout: str, workers: int | None) -> None:
    """Write adversarial images in the layout of another tool.

    ADVERSARIAL is what `tfadv attack` wrote, OUT a new folder. It gets the adversarial images, their clean twins and
    the list of their classes, labels being those that the attack had. Without OUT, and for huggingface alone, the list
    is written into ADVERSARIAL, which then is a Hugging Face ImageFolder too. Images that are no longer as they were
    written are left out.

    \b
    huggingface     NAME.png, clean/NAME.png, metadata.csv and README.md: load_dataset("OUT")
    transferattack  images/NAME.png, the clean twins, adversarial/NAME.png, labels.csv
    nips2017        images/NAME.png, the clean twins, adversarial/NAME.png, images.csv

    \b
    tfadv export adv/ --layout huggingface
    tfadv export adv/ data/ --layout transferattack
    """
    from tfadv.folders.export import export_folder

    if out is None and layout != "huggingface":
        raise click.UsageError(f"--layout {layout} needs OUT, a new folder.")
    report = export_folder(adversarial, out, layout, workers=workers)
    shell.echo(f"{report.out}: {report.count} images, layout {layout}")
    for name, reason in report.skipped.items():
        shell.echo(f"left out {shell.named(name)}: {reason}", err=True)
    if report.skipped:
        sys.exit(options.SOME_SKIPPED)
