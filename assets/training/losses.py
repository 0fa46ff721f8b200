"""What a batch is told it got wrong: pure functions of embeddings, each returning one number."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from vision.learning.losses import hold_loss, product_contrast, relation_loss

__all__ = ["hold_loss", "label_loss", "product_contrast", "relation_loss", "word_contrast"]


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


def _spread(logits: torch.Tensor, fits: torch.Tensor) -> torch.Tensor:
    chances = F.log_softmax(logits, 1).masked_fill(~fits, 0.0)
    positives = fits.sum(1)
    per_row = -chances.sum(1) / positives.clamp_min(1)
    return per_row.sum() / (positives > 0).sum().clamp_min(1)
