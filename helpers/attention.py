"""Find the self-attention layers of a U-Net, and write out what one of them computes."""

from dataclasses import dataclass

import torch
from diffusers.models.attention_processor import Attention

PARTS = {"down_blocks": "encoder", "mid_block": "middle", "up_blocks": "decoder"}


@dataclass(frozen=True)
class AttentionLayer:
    """One self-attention layer. `name` is its path in the U-Net; `resolution` counts tokens along one side."""

    name: str
    block: str
    resolution: int
    channels: int
    heads: int
    module: Attention


@dataclass(frozen=True)
class HeadWeights:
    """Projections of one layer in the row-vector convention, Q^h = Z W_Q^h + b_Q^h, one slice per head.

    query, key, value: (heads, d, d_h); output: (heads, d_h, d); query_bias, key_bias, value_bias: (heads, d_h).
    """

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    output: torch.Tensor
    query_bias: torch.Tensor
    key_bias: torch.Tensor
    value_bias: torch.Tensor


def find_layers(unet):
    """Every self-attention layer of a U-Net, in the order in which a forward pass meets them.

    Works for `UNet2DModel` and for `attn1` of `UNet2DConditionModel`; cross-attention is left out.
    Raises ValueError for a model without self-attention.
    """
    modules = dict(unet.named_modules())
    names = [
        name for name, module in modules.items() if isinstance(module, Attention) and not module.is_cross_attention
    ]
    order = {"down_blocks": 0, "mid_block": 1, "up_blocks": 2}
    names.sort(key=lambda name: order[name.split(".")[0]])  # stable: keeps the order inside each part
    if not names:
        raise ValueError(f"{type(unet).__name__} has no self-attention layer: there is nothing to decompose.")
    return [
        AttentionLayer(
            name,
            PARTS[name.split(".")[0]],
            _resolution(unet, name),
            modules[name].to_q.in_features,
            modules[name].heads,
            modules[name],
        )
        for name in names
    ]


def get_layer(unet, name):
    """The self-attention layer of that name. Raises ValueError, listing the names, when there is none."""
    layers = {layer.name: layer for layer in find_layers(unet)}
    if name not in layers:
        raise ValueError(f"no self-attention layer {name!r}: choose one of {', '.join(layers)}.")
    return layers[name]


def _resolution(unet, name):
    """Side length of the feature map at a layer: the sample size, halved once by every downsampler before it."""
    part, index = name.split(".")[:2]
    size = unet.config.sample_size
    size = size if isinstance(size, int) else size[0]
    halvings = [block.downsamplers is not None for block in unet.down_blocks]
    if part == "down_blocks":
        return size >> sum(halvings[: int(index)])
    doublings = [block.upsamplers is not None for block in unet.up_blocks]
    return size >> (sum(halvings) - (sum(doublings[: int(index)]) if part == "up_blocks" else 0))


def head_weights(layer, dtype=torch.float32):
    """W_Q, W_K, W_V and W_O of a layer, per head, in the row-vector convention.

    PyTorch stores `to_q.weight` as (out, in), which is W_Q transposed; the heads are slices of the output side.
    """
    module, heads = layer.module, layer.heads

    def columns(linear):
        return linear.weight.detach().to(dtype).T.reshape(linear.in_features, heads, -1).permute(1, 0, 2)

    def bias(linear):
        zeros = torch.zeros(linear.out_features, device=linear.weight.device)
        return (zeros if linear.bias is None else linear.bias.detach()).to(dtype).view(heads, -1)

    output = module.to_out[0].weight.detach().to(dtype).T.reshape(heads, -1, module.to_out[0].out_features)
    return HeadWeights(
        columns(module.to_q),
        columns(module.to_k),
        columns(module.to_v),
        output,
        bias(module.to_q),
        bias(module.to_k),
        bias(module.to_v),
    )


def attention_maps(tokens, weights):
    """A = softmax(Q K^T / sqrt(d_h)) for each head (the paper's Eq. 1-2): tokens (..., N, d) -> (..., heads, N, N)."""
    tokens = tokens.unsqueeze(-3)
    query = tokens @ weights.query + weights.query_bias.unsqueeze(-2)
    key = tokens @ weights.key + weights.key_bias.unsqueeze(-2)
    return torch.softmax(query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5, dim=-1)


def attention_output(tokens, weights):
    """Attn(Z) = A V with the heads side by side, before the output projection: (..., N, d) -> (..., N, heads * d_h)."""
    value = tokens.unsqueeze(-3) @ weights.value + weights.value_bias.unsqueeze(-2)
    mixed = attention_maps(tokens, weights) @ value
    return mixed.transpose(-3, -2).flatten(-2)


def attention_response(tokens, weights, queries=slice(None)):
    """Derivative of the attention output for a shift that all tokens share: dAttn_i = alpha n^T B_i, per head.

    B_i = W_Q Gamma_i / sqrt(d_h) + W_V, where Gamma_i is the covariance of keys with values under the attention of
    query i: Gamma_i = sum_j a_ij k_j v_j^T - (sum_j a_ij k_j)(sum_j a_ij v_j)^T.

    tokens: (N, d) of one picture; queries: which of the N positions. Returns (heads, positions, d, d_h).
    """
    key, value = tokens @ weights.key, tokens @ weights.value  # biases drop out of a covariance
    maps = attention_maps(tokens, weights)[:, queries]
    products = (maps.unsqueeze(-1) * key.unsqueeze(-3)).mT @ value.unsqueeze(-3)
    gamma = products - (maps @ key).unsqueeze(-1) * (maps @ value).unsqueeze(-2)
    return weights.query.unsqueeze(-3) @ gamma / key.shape[-1] ** 0.5 + weights.value.unsqueeze(-3)
