"""The Jupyter kernel: a container per cell, a layer per result."""
