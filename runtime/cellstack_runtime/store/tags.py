"""Names of images: `tags/<name>/<tag>` holds an image id."""

from __future__ import annotations

import contextlib
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from cellstack_runtime.errors import StoreError, UsageError
from cellstack_runtime.store.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names and tags as in the OCI distribution specification; a first part with a port is a registry's host.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{_PART}(?:/{_PART})*")
_IMAGE = re.compile(r"[0-9a-f]{64}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def split_reference(reference: str) -> tuple[str, str]:
    """Return (name, tag) of "name" or "name:tag", by default "latest"; UsageError for anything else."""
    name, colon, tag = reference.rpartition(":")
    if not colon or "/" in tag:
        name, tag = reference, "latest"
    if not _NAME.fullmatch(name) or not _TAG.fullmatch(tag):
        raise UsageError(
            f"{reference!r} is not the name of an image",
            hint="Names are lower case, as in team/project:tag",
        )
    return name, tag


class Tags:
    """The tags in directory `path`. A name is one directory there, its slashes quoted: names may nest."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _file(self, reference: str) -> str:
        name, tag = split_reference(reference)
        return f"{self.path}/{quote(name, safe='')}/{tag}"

    def get(self, reference: str) -> str | None:
        """Return the id of the image tagged `reference`, None when there is none; StoreError when it is damaged."""
        try:
            with open(self._file(reference), encoding="utf-8") as file:
                image_id = file.read().strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"tag {reference} cannot be read: {error}") from None
        if not _IMAGE.fullmatch(image_id):
            raise StoreError(f"tag {reference} is corrupt: it has no image's id", hint="Set it anew, or remove it")
        return image_id

    def set(self, reference: str, image_id: str) -> None:
        """Let `reference` name the image."""
        path = self._file(reference)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_atomic(path, image_id + "\n")

    def remove(self, reference: str) -> bool:
        """Remove a tag; return whether there was one."""
        try:
            os.unlink(self._file(reference))
        except FileNotFoundError:
            return False
        return True

    def items(self) -> Iterator[tuple[str, str]]:
        """Yield ("name:tag", image id) of every tag that can be read."""
        for quoted in os.listdir(self.path):
            name = unquote(quoted)
            for tag in os.listdir(f"{self.path}/{quoted}"):
                with contextlib.suppress(StoreError, UsageError):  # damaged, or no name
                    if _TAG.fullmatch(tag) and (image_id := self.get(f"{name}:{tag}")) is not None:
                        yield f"{name}:{tag}", image_id
