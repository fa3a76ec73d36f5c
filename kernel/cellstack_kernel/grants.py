"""Temporary."""
class Grants:
    def __init__(self, home, path): pass
