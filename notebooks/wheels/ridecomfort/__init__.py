"""How warm a day feels on a bicycle."""

from __future__ import annotations

__version__ = "0.1.0"


def feels_like(temperature_c: float, wind_kmh: float) -> float:
    """Return the wind chill in °C by Environment Canada's formula.

    Where the formula does not hold (above 10 °C, hardly any wind) that is the temperature of the air.
    """
    if temperature_c > 10 or wind_kmh < 4.8:
        return temperature_c
    factor = wind_kmh**0.16
    return round(13.12 + 0.6215 * temperature_c - 11.37 * factor + 0.3965 * temperature_c * factor, 1)
