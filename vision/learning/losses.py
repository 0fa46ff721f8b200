"""What embeddings are told they got wrong in training: pure functions, each of one number."""

from __future__ import annotations

import torch
from torch.nn import functional as F


def product_contrast(
    embeddings: torch.Tensor, products: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Return the supervised contrastive loss (Khosla et al. 2020, L_out) of unit rows (b, d).

    Rows of the same product (b,) int attract; rows without another of their product are left out.
    """
    itself = torch.eye(len(products), dtype=torch.bool, device=products.device)
    logits = (embeddings @ embeddings.T / temperature).masked_fill(itself, -torch.inf)
    same = (products[:, None] == products) & ~itself
    chances = F.log_softmax(logits, 1).masked_fill(~same, 0.0)
    positives = same.sum(1)
    per_row = -chances.sum(1) / positives.clamp_min(1)
    return per_row.sum() / (positives > 0).sum().clamp_min(1)


def hold_loss(features: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Return 1 - cosine of features (b, d) to the original network's, on average."""
    return (1 - F.cosine_similarity(features, original)).mean()


def relation_loss(embeddings: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Return the mean square by which cosines between rows differ from the original network's.

    Both (b, d) and (b, e) are centred on the batch's mean first, as findalike compares them
    (relational distillation after Park et al. 2019, with cosines for distances).
    """
    return F.mse_loss(_cosines(embeddings), _cosines(original))


def _cosines(rows: torch.Tensor) -> torch.Tensor:
    rows = F.normalize(rows - rows.mean(0), dim=1)
    return rows @ rows.T
