"""The runtime's verbs of the `cellstack` command, which imports each from its module when it is used."""

_HERE = "cellstack_runtime.cli"
VERBS = {
    **dict.fromkeys(("cp", "inspect", "ps", "run"), f"{_HERE}.containers"),
    "exec": f"{_HERE}.joining",
    **dict.fromkeys(("kill", "pause", "stats", "stop", "top", "unpause", "wait"), f"{_HERE}.running"),
    **dict.fromkeys(("doctor", "info", "version"), f"{_HERE}.host"),
    **dict.fromkeys(("diff", "images", "layers"), f"{_HERE}.layers"),
    **dict.fromkeys(("df", "prune"), f"{_HERE}.space"),
}
