"""The `cellstack` command: the runtime's verbs, and those that know of notebooks and Jupyter."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import Any

import click

from cellstack_runtime.cli import VERBS
from cellstack_runtime.errors import EXIT_FAILED, CellstackError

DEBUG = "CELLSTACK_DEBUG"
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
HERE = "cellstack_kernel.cli"
# Where each verb is: most need little, and Jupyter's packages take a second to import.
HOMES = {
    **VERBS,
    "compare": f"{HERE}.compare",
    "execute": f"{HERE}.execute",
    "kernelspec": f"{HERE}.jupyter",
    "lab": f"{HERE}.jupyter",
    "outputs": f"{HERE}.outputs",
}


class Verbs(click.Group):
    """Imports a verb when it is used; says an error of ours in one line and leaves with its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all verbs."""
        return sorted(HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a verb."""
        if cmd_name not in HOMES:
            return None
        # jsonschema would build a grammar of IRIs with it, which takes a second and which no notebook needs.
        sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
        command: click.Command = getattr(importlib.import_module(HOMES[cmd_name]), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except CellstackError as error:
            click.echo(f"cellstack: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except BrokenPipeError:  # `cellstack layers | head`: nobody reads on
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(128 + signal.SIGPIPE)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if os.environ.get(DEBUG):
                raise
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            click.echo(f"cellstack: a mistake in it ({what}). {DEBUG}=1 shows where; please report it", err=True)
            ctx.exit(EXIT_FAILED)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cellstack", message="cellstack %(version)s")
def main() -> None:
    """Run each notebook cell in a fresh Linux container, and keep each cell's result as a layer."""
