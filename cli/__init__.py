"""The command line: one file per command, loaded only when it is called, and the one place where an error becomes a message."""

import importlib
import os

import click

#: Every command and its one-line help; the module is `tfadv.cli.<name>` with "-" as "_", its click object is `command`.
COMMANDS = {
    "attack": "Turn a folder of images into a folder of adversarial images.",
    "evaluate": "Say how often an adversarial folder fools other networks.",
    "demo": "Run the main job on the embedded digits, and draw it.",
    "models": "List the networks that --source and --target accept.",
    "layers": "List the layers of a network that an attack can tap.",
    "recipes": "List the attacks, with their settings and papers.",
    "checkpoints": "Fetch, import, list and verify the official checkpoints.",
    "train-digits": "Train the nine embedded digit networks again.",
}


class Commands(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return importlib.import_module(f"tfadv.cli.{name.replace('-', '_')}").command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from `COMMANDS`: help needs none of the modules behind it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, context: click.Context):
        try:
            return super().invoke(context)
        except (ValueError, OSError) as error:
            if os.environ.get("TFADV_TRACEBACK"):
                raise
            raise click.ClickException(str(error)) from error


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tfadv")
def main() -> None:
    """Adversarial images that transfer: made on one network, they fool others that were never seen.

    \b
    tfadv attack naa images/ adv/ --source inception_v3
    tfadv evaluate images/ adv/ --target inception_v4 --target resnet_v2_152
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
