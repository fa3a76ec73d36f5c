"""What hypothesis draws for texts and values of which nothing is known but that they are JSON's."""

from __future__ import annotations

from hypothesis import strategies as st

# Drawn from all characters, these few would hardly ever come: what cannot be sent on, ends a line or a text, is markup.
TROUBLE = ["\ud800", "\udfff", "\0", "\n", "\r", "\x1b", "\u2028", "\ufeff", "<", '"', "\\", "/", ".."]
text = st.lists(st.characters(exclude_categories=[]) | st.sampled_from(TROUBLE), max_size=8).map("".join)
atoms = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats() | text
values = st.recursive(
    atoms, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=6
)
