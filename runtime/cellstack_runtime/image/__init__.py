"""The default image, made from the environment that runs this code, and the guest's files for every container."""

from __future__ import annotations

from cellstack_runtime.image.default import ensure_default
from cellstack_runtime.image.guest import guest_directory

__all__ = ["ensure_default", "guest_directory"]
