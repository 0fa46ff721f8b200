"""Linear layers with their weights laid out ahead as oneDNN computes them.

Left to itself, torch lays a weight out anew in every call, which for one picture takes longer than
the multiplication. These layers compute as those of ``torch.utils.mkldnn`` do, and what is made of
them can be traced (``vision.networks.backends``).
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn


class PackedLinear(nn.Module):
    """A linear layer on the processor, for inference only: (..., in) to (..., out)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        # The operator has no way to leave the bias out.
        bias = weight.new_zeros(len(weight)) if bias is None else bias
        self.register_buffer("weight", weight.detach().to_mkldnn(), persistent=False)
        self.register_buffer("bias", bias.detach().to_mkldnn(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply and add the bias."""
        y = torch._C._nn.mkldnn_linear(x.to_mkldnn(), self.weight, self.bias)
        return y.to_dense(x.dtype)


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
