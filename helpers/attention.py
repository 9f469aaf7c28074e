"""Find the self-attention layers of a network, and write out what one of them computes."""

from dataclasses import dataclass

import torch

PARTS = {"down_blocks": "encoder", "mid_block": "middle", "up_blocks": "decoder"}


@dataclass(frozen=True)
class AttentionLayer:
    """One self-attention layer. `name` is its path in the network.

    block: encoder, middle or decoder of a U-Net, else "transformer"; resolution: tokens along one side for pictures of
    the size in the network's configuration, None where it names none: for tables, edits count the tokens they meet.
    """

    name: str
    block: str
    resolution: int | None
    channels: int
    heads: int
    module: torch.nn.Module


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


def find_layers(network):
    """Every self-attention layer of a network, in the order in which a forward pass meets them.

    Works for every layer with `to_q`, `to_k` and `to_v` that sees nothing but the picture's tokens: of `UNet2DModel`,
    `attn1` of `UNet2DConditionModel` and of DiT and PixArt blocks, the picture's projections in joint blocks of SD3 and
    Flux. Left out are cross-attention and layers whose tokens are text and picture in one (Flux's single blocks).
    Raises ValueError for a network without such a layer.
    """
    modules = {name: module for name, module in network.named_modules() if _is_self_attention(module)}
    if not modules:
        raise ValueError(f"{type(network).__name__} has no self-attention layer: there is nothing to decompose.")
    names = sorted(modules, key=lambda name: [*PARTS, _part(name)].index(_part(name)))  # stable inside each part
    return [
        AttentionLayer(
            name,
            PARTS.get(_part(name), "transformer"),
            _resolution(network, name),
            modules[name].to_q.in_features,
            modules[name].heads,
            modules[name],
        )
        for name in names
    ]


def _part(name):
    return name.split(".")[0]


def _is_self_attention(module):
    projections = [getattr(module, name, None) for name in ("to_q", "to_k", "to_v")]
    widths = {getattr(projection, "in_features", None) for projection in projections}
    elsewhere = getattr(module, "is_cross_attention", False) or getattr(module, "pre_only", False)
    return hasattr(module, "heads") and len(widths) == 1 and None not in widths and not elsewhere


def get_layer(network, name):
    """The self-attention layer of that name. Raises ValueError, listing the names, when there is none."""
    layers = {layer.name: layer for layer in find_layers(network)}
    if name not in layers:
        raise ValueError(f"no self-attention layer {name!r}: choose one of {', '.join(layers)}.")
    return layers[name]


def _resolution(network, name):
    """Tokens along the first side of a picture of the configured size, None where the configuration does not say."""
    size = network.config.get("sample_size")
    size = size if isinstance(size, int) or size is None else size[0]
    if size is None or _part(name) not in PARTS:
        patch = network.config.get("patch_size")
        return size // patch if size and patch else None
    sides = [size]
    for block in network.down_blocks:
        for sampler in block.downsamplers or []:
            size = size - size // 2 if getattr(sampler, "use_conv", False) and sampler.padding else size // 2
        sides.append(size)
    if _part(name) == "mid_block":
        return sides[-1]
    index = int(name.split(".")[1])  # a decoder block mirrors the encoder block whose results it takes
    return sides[index if _part(name) == "down_blocks" else len(network.down_blocks) - 1 - index]


def head_weights(layer, dtype=torch.float32):
    """W_Q, W_K, W_V and W_O of a layer, per head, in the row-vector convention.

    PyTorch stores `to_q.weight` as (out, in), which is W_Q transposed; the heads are slices of the output side.
    """
    module, heads = layer.module, layer.heads

    def columns(linear):
        return linear.weight.detach().to(dtype).T.reshape(linear.in_features, heads, -1).permute(1, 0, 2)

    def bias(linear):
        if linear.bias is None:
            return torch.zeros(heads, linear.out_features // heads, dtype=dtype, device=linear.weight.device)
        return linear.bias.detach().to(dtype).view(heads, -1)

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


def attention_maps(tokens, weights, queries=slice(None)):
    """A = softmax(Q K^T / sqrt(d_h)) for each head (the paper's Eq. 1-2): tokens (..., N, d) -> (..., heads, N, N).

    queries: which of the N positions ask; only their rows of A are computed.
    """
    tokens = tokens.unsqueeze(-3)
    query = tokens[..., queries, :] @ weights.query + weights.query_bias.unsqueeze(-2)
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
    maps = attention_maps(tokens, weights, queries)
    products = (maps.unsqueeze(-1) * key.unsqueeze(-3)).mT @ value.unsqueeze(-3)
    gamma = products - (maps @ key).unsqueeze(-1) * (maps @ value).unsqueeze(-2)
    return weights.query.unsqueeze(-3) @ gamma / key.shape[-1] ** 0.5 + weights.value.unsqueeze(-3)
