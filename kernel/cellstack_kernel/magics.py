"""Temporary."""
from dataclasses import dataclass
@dataclass(frozen=True)
class Parsed:
    calls: tuple = ()
    code: str = ""
    kind: str = "execute"
    options: dict = None
def parse(code):
    if code.startswith("%%sh\n"):
        return Parsed((), code[5:], "shell", {})
    if code.startswith("%%container"):
        head, _, rest = code.partition("\n")
        return Parsed((), rest, "execute", dict(x.split("=") for x in head.split()[1:]))
    return Parsed((), code, "execute", {})
async def call(*a): pass
