"""The runtime's verbs of the `cellstack` command; `commands` is what the command's entry point adds."""

from cellstack_runtime.cli.containers import cp, inspect, ps, run
from cellstack_runtime.cli.host import doctor, info, version
from cellstack_runtime.cli.layers import diff, images, layers

commands = [cp, diff, doctor, images, info, inspect, layers, ps, run, version]
