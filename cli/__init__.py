"""The command line: one file for each command, loaded when it is called. Errors become messages here."""

import functools
import importlib
import os
from typing import Any

import click

from tfadv.cli import options, quiet, shell

#: Every command and its one-line help; the module is `tfadv.cli.<name>` with "-" as "_", its click object is `command`.
COMMANDS = {
    "attack": "Turn a folder of images into a folder of adversarial images.",
    "merge": "Join what runs with --shard made apart.",
    "evaluate": "Measure how often adversarial images fool networks.",
    "export": "Write adversarial images in the layout of another tool.",
    "leaderboard": "Compare attacks by the cards that evaluate writes.",
    "report": "Show a run of attack on a page.",
    "destruction": "Measure destruction rates: rotation, noise, blur, JPEG.",
    "certify": "Certify robustness radii by randomised smoothing.",
    "plane": "Draw the classes that networks predict around an image.",
    "reproduce": "Reproduce the tables and figures of the papers.",
    "demo": "Attack and evaluate nine small networks on embedded digits.",
    "defend": "Purify a folder of images, or fit NIP to a network.",
    "models": "List the networks that --source and --target accept.",
    "layers": "List the layers of a network that an attack can tap.",
    "recipes": "List the attacks, with their settings and papers.",
    "defences": "List the defences, with their settings and papers.",
    "bench": "Benchmark attacks and folders of images on this machine.",
    "checkpoints": "Fetch, import, list and verify the official checkpoints.",
    "train": "Train a small network, plainly or adversarially.",
    "train-purifier": "Train the network of a learned purifier on clean images.",
    "train-digits": "Train the nine embedded digit networks again.",
}
#: The commands that compute: they receive --device and what goes with it here.
COMPUTING = (
    "attack",
    "evaluate",
    "report",
    "defend",
    "destruction",
    "certify",
    "plane",
    "demo",
    "reproduce",
    "bench",
    "train",
    "train-purifier",
    "train-digits",
)
#: The commands that need no TensorFlow, or import it themselves when they do.
LIGHT = ("export", "leaderboard", "checkpoints", "models", "layers", "recipes", "defences")
#: With this in the environment an error shows where it arose.
TRACEBACK = "TFADV_TRACEBACK"


class Commands(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def main(self, args: Any = None, *more: Any, **extra: Any) -> Any:
        """As click has it; where nobody gives the arguments the process is this command's own, and ends with it."""
        if args is not None:
            return super().main(args, *more, **extra)
        quiet.open_streams()
        leave = quiet.FastExit()
        try:
            return super().main(args, *more, **extra)
        except SystemExit as end:
            leave.code = end.code if isinstance(end.code, int) else int(end.code is not None)
            raise

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        return _load(name)

    def resolve_command(
        self, context: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an option that is given twice is an error."""
        name, command, rest = super().resolve_command(context, words)
        if command is not None and not context.resilient_parsing:
            options.once(command, name, rest, context)
        return name, command, rest

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list from `COMMANDS`: help needs none of the modules behind it."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            shell.echo("\nInterrupted: what was begun is not finished.", err=True)
            context.exit(options.INTERRUPTED)
        except BrokenPipeError:
            raise  # the reader of our output has seen enough; click ends quietly
        except click.ClickException as error:
            raise shell.escaped(error) from error.__cause__
        except (click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if os.environ.get(TRACEBACK):
                raise
            command = self.get_command(context, context.invoked_subcommand or "")
            message = shell.with_options(_sentence(error), command)
            raise shell.escaped(click.ClickException(message)) from error


def _sentence(error: Exception) -> str:
    """The message of an error: its own text where that is meant for users, else with its type."""
    from tfadv.files import remote

    if said := remote.sentence(error):
        return said
    text, kind = str(error), type(error).__name__
    if isinstance(error, ValueError | OSError | ImportError):
        return text or kind
    reason = f"{kind}: {text}" if text else kind
    return f"something went wrong that no check foresaw ({reason}). With {TRACEBACK}=1 it shows where."


@functools.cache
def _load(name: str) -> click.Command:
    """The command's click object; TensorFlow is imported and the device chosen when it runs, not for its help."""
    command = importlib.import_module(f"tfadv.cli.{name.replace('-', '_')}").command
    if name in LIGHT:
        return command
    chooses = name in COMPUTING
    own = {parameter.name for parameter in command.params}
    if chooses:
        command.params += [option for option in options.arithmetic() if option.name not in own]
    run = command.callback

    @functools.wraps(run)
    def prepared(*arguments: Any, **chosen: Any) -> Any:
        if chooses:
            quiet.check_temporary()
        with shell.meanwhile("loading TensorFlow"):
            quiet.import_tensorflow()
        if chooses:
            from tfadv.core import devices

            devices.use(*(chosen[option.name] for option in options.arithmetic()))
            quiet.show_concessions(lambda text: shell.echo(f"note: {shell.with_options(text, command)}", err=True))
        return run(*arguments, **{name: value for name, value in chosen.items() if name in own})

    command.callback = prepared
    return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tfadv")
def main() -> None:
    """Adversarial images that transfer: made on one network, they fool others that were never seen.

    \b
    tfadv attack naa images/ adv/ --source inception_v3
    tfadv evaluate images/ adv/ --target inception_v4 --target resnet_v2_152

    With TFADV_TRACEBACK=1 in the environment an error shows where it arose; with TF_CPP_MIN_LOG_LEVEL=0 TensorFlow's
    own notes are shown.
    """
