"""How loudly each expert speaks: weights fitted on predictions for examples they have not seen.

    log p = log softmax(sum over experts of weight * score),  weights >= 0

With one expert this is temperature scaling (Guo et al., "On calibration of modern neural
networks", ICML 2017); with several, a product of experts whose probabilities are calibrated in the
same step (Hinton, ICANN 1999; Genest and Zidek, Statistical Science 1(1), 1986).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from vision.head.targets import Labels, log_likelihood

# Of experts that nothing was held out to weigh, and what few held-out examples are drawn towards.
DEFAULTS = {
    "linear": 1.0,
    "discriminant": 0.5,
    "prototypes": 0.5,
    "neighbours": 0.5,
    "names": 0.5,
    "frequency": 0.5,
}
_SPREAD = 1.0  # standard deviation of the logarithm of a weight around its default
_ITERATIONS = 50


def combine(scores: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Return log-probabilities (n, classes) float32 of experts' scores."""
    total = sum(np.float32(weight) * scores[name] for name, weight in weights.items())
    result: np.ndarray = torch.from_numpy(np.asarray(total)).log_softmax(1).numpy()
    return result


def choose_weights(scores: Mapping[str, np.ndarray], labels: Labels) -> dict[str, float]:
    """Return the weights of the experts that are worth listening to.

    ``scores`` (n, classes) are of held-out examples. Starting with the best expert, the one that
    helps most is added for as long as it lowers the loss by more than its own standard error.
    """
    found = {
        name: fit_weights({name: scores[name]}, labels) for name in scores if name != "frequency"
    }
    best = min(found, key=lambda name: (_loss(scores, found[name], labels).mean(), name))
    weights = found[best]
    losses = _loss(scores, weights, labels)
    while others := [name for name in scores if name not in weights]:
        trials = [fit_weights({each: scores[each] for each in (*weights, name)}, labels)
                  for name in others]  # fmt: skip
        outcome = [_loss(scores, each, labels) for each in trials]
        at = int(np.argmin([each.mean() for each in outcome]))
        gain = losses - outcome[at]
        if gain.mean() <= gain.std() / np.sqrt(len(gain)):
            break
        weights, losses = trials[at], outcome[at]
    return weights


def _loss(
    scores: Mapping[str, np.ndarray], weights: Mapping[str, float], labels: Labels
) -> np.ndarray:
    return -labels.likelihood(combine(scores, weights))


def fit_weights(scores: Mapping[str, np.ndarray], labels: Labels) -> dict[str, float]:
    """Return the weights that minimise the loss, held near the defaults by a log-normal prior."""
    parts = torch.stack([torch.from_numpy(each) for each in scores.values()])  # (experts, n, k)
    default = torch.tensor([DEFAULTS[name] for name in scores]).log()
    logs = default.clone().requires_grad_(True)
    codes, allows = labels.tensors()
    solver = torch.optim.LBFGS([logs], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        solver.zero_grad()
        logits = torch.einsum("e,enk->nk", logs.exp(), parts)
        prior = ((logs - default) / _SPREAD).square().sum() / 2
        loss = (prior - log_likelihood(logits, codes, allows).sum()) / len(codes)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    fitted = logs.detach().exp().tolist()
    return dict(zip(scores, fitted, strict=True))
