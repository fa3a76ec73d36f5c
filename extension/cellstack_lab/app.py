"""The extension as Jupyter Server loads it."""

from __future__ import annotations

from jupyter_server.extension.application import ExtensionApp

from cellstack_lab import validation
from cellstack_lab.hub import PUBLIC
from cellstack_lab.routes import handlers
from cellstack_lab.service import SETTING, Service


class CellstackExtension(ExtensionApp):
    """Serves `<base_url>cellstack/api/`."""

    name = "cellstack_lab"

    def initialize_settings(self) -> None:
        """Make what all handlers share; nothing is read before somebody asks."""
        server = self.serverapp
        assert server is not None
        assert server.event_logger is not None
        for kind in PUBLIC:
            server.event_logger.register_event_schema(validation.schema(f"events/{kind}.json"))
        self.settings[SETTING] = Service(
            root=server.root_dir, kernels=server.kernel_manager, events=server.event_logger, log=self.log
        )

        server.event_logger.add_listener(
            schema_id=server.contents_manager.event_schema_id, listener=self.settings[SETTING].on_contents
        )

    def initialize_handlers(self) -> None:
        """Register the routes; Jupyter puts the base URL before them."""
        self.handlers.extend(handlers())

    async def stop_extension(self) -> None:
        """End what watches and reads."""
        await self.settings[SETTING].close()
