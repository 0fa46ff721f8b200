"""Linear layers with their weights laid out ahead as oneDNN computes them.

Left to itself, torch lays a weight out anew in every call, which for one picture takes longer than
the multiplication. torch's own compiler packs weights with two operators that are not
public: ``tests/test_backends.py`` holds them to what they do today, and where they are missing or
fail, the network is computed with plain weights instead (``vision.networks.backends``).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn


class PackedLinear(nn.Module):
    """A linear layer on the processor, for inference only: (..., in) to (..., out)."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), None)
        self._bias = None if bias is None else bias.detach()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply and add the bias."""
        y = torch.ops.mkldnn._linear_pointwise(x, self._packed, self._bias, "none", [], "")
        return cast(torch.Tensor, y)


class PackedAttention(nn.Module):
    """Multi-head attention of a picture's patches to themselves, as open_clip's blocks call it.

    Anything else that ``nn.MultiheadAttention`` can do is left to it.
    """

    def __init__(self, plain: nn.MultiheadAttention) -> None:
        super().__init__()
        self._plain = plain
        self._in = PackedLinear(plain.in_proj_weight, plain.in_proj_bias)
        self._out = PackedLinear(plain.out_proj.weight, plain.out_proj.bias)

    def forward(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: object
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Attend: (b, n, d) to (b, n, d), and no weights."""
        asked = ({"need_weights": True} | options).values()
        simple = all(each is None or each is False for each in asked) and query.dim() == 3
        if not simple or query is not key or key is not value:
            return cast(
                tuple[torch.Tensor, torch.Tensor | None],
                self._plain(query, key, value, **options),
            )
        parts = self._in(query).unflatten(-1, (3, self._plain.num_heads, -1))
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # (3, b, heads, n, d / heads)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        return self._out(mixed.transpose(1, 2).flatten(2)), None


def pack(module: nn.Module) -> int:
    """Put packed layers in place of the linear ones below ``module``; return how many.

    Raises AttributeError or RuntimeError where this torch does not have the operators.
    """
    packed = 0
    for name, child in module.named_children():
        replaced: nn.Module | None = None
        if isinstance(child, nn.MultiheadAttention):
            if child.batch_first and child.in_proj_weight is not None and child.bias_k is None:
                replaced = PackedAttention(child)
        elif type(child) is nn.Linear:
            replaced = PackedLinear(child.weight, child.bias)
        if replaced is not None:
            setattr(module, name, replaced)
            packed += 1
        elif not isinstance(child, nn.MultiheadAttention):
            packed += pack(child)
    return packed
