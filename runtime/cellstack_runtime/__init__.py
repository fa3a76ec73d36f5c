"""Containers, images and layers; knows nothing of Jupyter."""
