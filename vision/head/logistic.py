"""Multinomial logistic regression whose labels may leave several classes open."""

from __future__ import annotations

import numpy as np
import torch

from vision.head.targets import Labels, log_likelihood

_STEP = 8192  # examples at once, so that they are read from memory once for both products
_CELLS = 1 << 24  # numbers that such a step may hold
_BALANCE = 0.5  # 0: every example counts the same, 1: every class does

Coefficients = tuple[np.ndarray, np.ndarray]  # weight (D, classes), bias (classes,), float32


def fit_logistic(
    rows: np.ndarray,
    labels: Labels,
    inverse_penalty: float,
    start: Coefficients | None = None,
    iterations: int = 40,
) -> Coefficients:
    """Fit by L-BFGS what minimises loss + |weight|^2 / (2 inverse_penalty).

    The loss of an example is the negative log of the summed probabilities that its label allows,
    times a factor that falls with the square root of how common its classes are. ``start`` is
    another fit to begin with. Deterministic.
    """
    x = torch.from_numpy(np.ascontiguousarray(rows))
    codes, allows = labels.tensors()
    balance = torch.from_numpy(_balance(labels))
    width, classes = rows.shape[1], len(labels.classes)
    begin = start or (np.zeros((width, classes), np.float32), np.zeros(classes, np.float32))
    weight, bias = (torch.tensor(each, requires_grad=True) for each in begin)
    step = max(1, min(_STEP, _CELLS // classes))

    @torch.no_grad()
    def loss() -> float:
        total = float(weight.square().sum()) / (2 * inverse_penalty)
        weight.grad, bias.grad = weight / inverse_penalty, torch.zeros_like(bias)
        for at in range(0, len(x), step):
            here = slice(at, at + step)
            logits = torch.addmm(bias, x[here], weight)
            excess, likely = _excess(logits, codes[here], allows)
            total -= float((balance[here] * likely).sum(dtype=torch.float64))
            excess *= balance[here, None]
            weight.grad.addmm_(x[here].T, excess)
            bias.grad += excess.sum(0)
        return total

    solver = torch.optim.LBFGS(
        [weight, bias],
        max_iter=iterations,
        tolerance_grad=1e-3,
        tolerance_change=1e-6 * max(1, len(x)),
        line_search_fn="strong_wolfe",
    )
    solver.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach().numpy(), bias.detach().numpy()


def _excess(
    logits: torch.Tensor, codes: torch.Tensor, allows: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss's gradient by the logits (n, classes), and the log-likelihoods (n,)."""
    likely = log_likelihood(logits, codes, allows)
    excess = logits.softmax(1)
    if allows is None:
        excess[torch.arange(len(logits)), codes] -= 1
    else:
        excess -= logits.masked_fill(~allows[codes], -torch.inf).softmax(1)
    return excess, likely


def _balance(labels: Labels) -> np.ndarray:
    """Return each example's factor in the loss, (n,) float32, one on average."""
    per_class = np.maximum(labels.counts, 1e-9) ** -_BALANCE
    per_label = labels.shares @ per_class.astype(np.float32)
    factors = per_label[labels.codes]
    balanced: np.ndarray = factors / factors.mean()
    return balanced
