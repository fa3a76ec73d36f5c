"""pint: quantities and units, which belong to the registry that they were made by."""

from __future__ import annotations

from typing import Any


def _reduce_quantity(quantity: Any) -> Any:
    """Return the reduction by its own registry: pint's goes to that of the application."""
    registry = quantity._REGISTRY  # noqa: SLF001
    return (make_quantity, (registry, quantity.magnitude, quantity._units))  # noqa: SLF001


def make_quantity(registry: Any, magnitude: Any, units: Any) -> Any:
    """Return a quantity of a registry."""
    return registry.Quantity(magnitude, units)


def _reduce_unit(unit: Any) -> Any:
    return (make_unit, (unit._REGISTRY, unit._units))  # noqa: SLF001


def make_unit(registry: Any, units: Any) -> Any:
    """Return a unit of a registry."""
    return registry.Unit(units)


HANDLERS = {
    ("pint.facets.plain.quantity", "PlainQuantity"): _reduce_quantity,
    ("pint.facets.plain.unit", "PlainUnit"): _reduce_unit,
}
