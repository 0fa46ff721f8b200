"""Linear algebra on NumPy arrays, done by torch.

torch's threads share the cores with everything else; those of NumPy's own library wait for each
other by spinning, and an eigendecomposition of milliseconds can take seconds on a busy machine.
"""

from __future__ import annotations

import numpy as np
import torch


def dot(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the matrix product (n, m) of (n, k) and (k, m), float32."""
    pair = (torch.from_numpy(np.asarray(each, dtype=np.float32)) for each in (left, right))
    product: np.ndarray = torch.matmul(*pair).numpy()
    return product


def leading_axes(rows: np.ndarray, most: int) -> np.ndarray:
    """Return the leading principal axes of rows (n, d) as columns, (d, most) float32.

    Where there are fewer rows than that, or no more columns, all axes as they are: (d, d).
    """
    width = rows.shape[1]
    if width <= most or len(rows) < most:
        return np.eye(width, dtype=np.float32)
    _, axes = torch.linalg.eigh(torch.from_numpy(dot(rows.T, rows)).double())
    return np.ascontiguousarray(axes.flip(1)[:, :most].numpy(), dtype=np.float32)


def solve(positive: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return x (d, m) float32 with positive @ x = right, for a positive definite matrix (d, d)."""
    lower = torch.linalg.cholesky(torch.from_numpy(positive).double())
    x = torch.cholesky_solve(torch.from_numpy(np.ascontiguousarray(right)).double(), lower)
    return np.ascontiguousarray(x.numpy(), dtype=np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """Scale rows to length one; rows of zeros stay zeros."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    scaled: np.ndarray = rows / np.maximum(norms, 1e-12)
    return scaled.astype(np.float32)
