"""A Jupyter server with the extension, on the store of the tests."""

from __future__ import annotations

from typing import Any

import pytest

pytest_plugins = ["pytest_jupyter.jupyter_server"]


@pytest.fixture
def jp_server_config() -> dict[str, Any]:
    """Return the server's settings: nobody is let in who has not shown who they are."""
    return {"ServerApp": {"jpserver_extensions": {"cellstack_lab": True}, "allow_unauthenticated_access": False}}
