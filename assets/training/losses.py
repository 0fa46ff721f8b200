"""What a batch is told it got wrong: pure functions of embeddings, each returning one number."""

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


def word_contrast(
    images: torch.Tensor, texts: torch.Tensor, truth: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Return CLIP's loss (Radford et al. 2021) where several captions may fit a picture.

    ``images`` (b, d) and ``texts`` (c, d) are unit rows, ``truth`` (c, b) int8: 1 where the caption
    holds, 0 where it does not, -1 where that is unknown: such pairs count on neither side. What
    fits is wanted in equal parts.
    """
    logits = (scale * texts @ images.T).masked_fill(truth < 0, -torch.inf)
    fits = truth == 1
    return (_spread(logits, fits) + _spread(logits.T, fits.T)) / 2


def label_loss(logits: dict[str, torch.Tensor], targets: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean over heads of the cross-entropy, where a target (b,) is not -100."""
    losses = [
        F.cross_entropy(logits[name], target)
        for name, target in targets.items()
        if bool((target >= 0).any())
    ]
    return torch.stack(losses).mean() if losses else next(iter(logits.values())).sum() * 0.0


def hold_loss(features: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Return 1 - cosine of features (b, d) to the original network's, on average."""
    return (1 - F.cosine_similarity(features, original)).mean()


def relation_loss(embeddings: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Return the mean square by which cosines between rows differ from the original network's.

    Both (b, d) and (b, e) are centred on the batch's mean first, as findalike compares them
    (relational distillation after Park et al. 2019, with cosines for distances).
    """
    found, wanted = _cosines(embeddings), _cosines(original)
    return F.mse_loss(found, wanted)


def _spread(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    chances = F.log_softmax(logits, 1).masked_fill(~fits, 0.0)
    positives = fits.sum(1)
    per_row = -chances.sum(1) / positives.clamp_min(1)
    return per_row.sum() / (positives > 0).sum().clamp_min(1)


def _cosines(rows: torch.Tensor) -> torch.Tensor:
    rows = F.normalize(rows - rows.mean(0), dim=1)
    return rows @ rows.T
