"""The vector store: nearest products by inner product, and the only user of FAISS."""

from index.vectors.kinds import AUTO, KINDS, Choice, Measured
from index.vectors.rows import DamagedIndex
from index.vectors.searching import Neighbours
from index.vectors.snapshot import look
from index.vectors.store import VectorStore

__all__ = [
    "AUTO",
    "KINDS",
    "Choice",
    "DamagedIndex",
    "Measured",
    "Neighbours",
    "VectorStore",
    "look",
]
