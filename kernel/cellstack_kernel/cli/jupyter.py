"""Jupyter's side of the command: registering the kernel, opening JupyterLab."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from typing import NoReturn

import click

from cellstack_runtime.errors import HostError, StoreError, UsageError

NAME = "cellstack"


@click.group()
def kernelspec() -> None:
    """Register the kernel with Jupyter."""


@kernelspec.command()
@click.option("--user", is_flag=True, help="For this user, in every Jupyter.")
@click.option("--sys-prefix", is_flag=True, help="In the environment that cellstack is installed in.")
@click.option("--prefix", help="In the environment at this path.")
@click.option("--name", default=NAME, show_default=True, help="The kernel's name in commands and notebooks.")
@click.option("--display-name", default="Python (Cellstack)", show_default=True, help="Its name in menus.")
def install(user: bool, sys_prefix: bool, prefix: str | None, name: str, display_name: str) -> None:
    """Register the kernel of this environment elsewhere; by default for this user."""
    from jupyter_client.kernelspec import KernelSpecManager  # noqa: PLC0415  only this verb needs Jupyter

    if sum(map(bool, (user, sys_prefix, prefix))) > 1:
        raise UsageError("--user, --sys-prefix and --prefix exclude each other")
    where = sys.prefix if sys_prefix else prefix
    with tempfile.TemporaryDirectory(prefix="cellstack-") as folder:
        with open(f"{folder}/kernel.json", "w", encoding="utf-8") as file:
            json.dump(spec(display_name), file, indent=1)
        try:
            target = KernelSpecManager().install_kernel_spec(folder, name, user=where is None, prefix=where)
        except ValueError as error:
            raise UsageError(f"the kernel cannot be named {name!r}: {error}") from None
        except OSError as error:
            raise StoreError(f"the kernel cannot be registered: {error}", hint="--user needs no rights") from None
    click.echo(f"The kernel {name} is registered in {target}")


def spec(display_name: str) -> dict[str, object]:
    """Return the kernel's spec, as `kernel/spec/kernel.json` has it, with this interpreter in it."""
    return {
        "argv": [sys.executable, "-m", "cellstack_kernel", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {"debugger": True, "supported_encryption": ["curve"]},
    }


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lab(arguments: tuple[str, ...]) -> NoReturn:
    """Open JupyterLab with the kernel; ARGUMENTS are those of `jupyter lab`, as a folder or --no-browser."""
    if importlib.util.find_spec("jupyterlab") is None:
        raise HostError(f"JupyterLab is not installed in {sys.prefix}", hint="pip install jupyterlab")
    # The server would rather not be root; here root is who may use cgroups, and cells are not root on the host.
    as_root = ["--allow-root"] if os.geteuid() == 0 and "--allow-root" not in arguments else []
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *as_root, *arguments])
