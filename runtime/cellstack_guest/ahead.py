"""What a completion reads first, read before it: jedi's descriptions of the built-in types and the standard library.

Reading them takes a second, and a container that answers a question starts without. Zygotes import this module once
somebody has asked for a completion, as they import what cells have imported.
"""

from __future__ import annotations

import jedi  # type: ignore[import-untyped]

for _code in ("pri", "import os\nos.pa"):
    jedi.Interpreter(_code, [{}]).complete()
