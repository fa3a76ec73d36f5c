"""What the notebook beside this file needs to read the counts of one bicycle counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from pathlib import Path


def read_counts(path: str | Path) -> pd.DataFrame:
    """Return the daily counts, indexed by date; days on which the counter was down have no count (NaN).

    Columns: bikes (per day), temperature_c, rain_mm, wind_kmh, weekend (bool).
    """
    counts = pd.read_csv(path, parse_dates=["date"], index_col="date")
    counts["bikes"] = counts["bikes"].where(counts["bikes"] > 0)
    counts["weekend"] = counts.index.to_series().dt.dayofweek >= 5
    return counts
