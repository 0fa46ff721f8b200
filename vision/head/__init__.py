"""The head: learns categories and attributes from labelled embeddings; ``Head`` is its door."""

from vision.head.head import Examples, Head, Prediction

__all__ = ["Examples", "Head", "Prediction"]
