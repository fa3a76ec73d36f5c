"""The `cellstack` command: the runtime's verbs, and those that know of notebooks and Jupyter."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from cellstack_kernel.cli.execute import execute
from cellstack_kernel.cli.jupyter import kernelspec, lab
from cellstack_runtime.cli import commands
from cellstack_runtime.errors import EXIT_FAILED, CellstackError

DEBUG = "CELLSTACK_DEBUG"
INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Verbs(click.Group):
    """Says an error of ours in one line and leaves with its exit code."""

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
            click.echo(
                f"cellstack: something here is wrong ({what}). {DEBUG}=1 shows where; please report it", err=True
            )
            ctx.exit(EXIT_FAILED)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="cellstack", message="cellstack %(version)s")
def main() -> None:
    """Run each notebook cell in a fresh Linux container, and keep each cell's result as a layer."""


for command in (*commands, execute, kernelspec, lab):
    main.add_command(command)
