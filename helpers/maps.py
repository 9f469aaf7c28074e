"""Attention maps inside a text-to-image pipeline: record them, or give one picture the maps of another.

To replace the self-attention maps of a picture by those of its source is Free-Prompt-Editing (Liu et al. 2024).
"""

from contextlib import ExitStack, contextmanager

import torch
from diffusers.models.attention_processor import AttnProcessor

from helpers.attention import find_layers

KINDS = {"self": "attn1", "cross": "attn2"}
HALVES = ("both", "conditional")


def attention_modules(unet, kind):
    """{name: attention module} of one kind, "self" or "cross", in the order in which a forward pass meets them.

    unet: a `UNet2DConditionModel`. Raises ValueError for another kind, or a network without cross-attention.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}: it must be one of {', '.join(KINDS)}.")
    names = [layer.name.removesuffix(KINDS["self"]) + KINDS[kind] for layer in find_layers(unet)]
    modules = dict(unet.named_modules())
    if not all(name in modules for name in names):
        raise ValueError(f"{type(unet).__name__} has no cross-attention beside its self-attention: it takes no text.")
    return {name: modules[name] for name in names}


@contextmanager
def recorded_maps(pipe, kind):
    """Inside this context a pipeline's maps of one kind are averaged over steps: yields {layer: maps}, filled in.

    maps: (pictures, heads, queries, keys), on the CPU, of the conditional half where there is guidance, and of the
    last call of the pipeline.
    """
    found = {}

    def exchange(name, step, maps, of):
        _, conditional = of
        kept = maps[conditional].float().cpu()
        found[name] = kept if step == 0 else found[name] + (kept - found[name]) / (step + 1)
        return maps

    with _exchanged(pipe, {name: (module, exchange) for name, module in attention_modules(pipe.unet, kind).items()}):
        yield found


@contextmanager
def shared_maps(pipe, kinds=("self",), layers=None, share=1.0, halves="both", most_tokens=None):
    """Inside this context the pipeline's second half of prompts takes the attention maps of the first half.

    Call the pipeline with prompts [*sources, *targets], as many of the one as of the other, and the same latents for
    both. kinds: of "self" and "cross"; layers: numbers of the attention layers, the first is 0, None for all;
    share: of the steps, from the first, in which maps are exchanged; halves: under classifier-free guidance "both", or
    the "conditional" one only; most_tokens: layers with more tokens are left alone.
    Raises ValueError for numbers of layers that the network lacks, a share outside 0 to 1, an unknown kind or half, for
    layers whose maps another context already has, and, while the pipeline runs, for an odd number of prompts.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}: it must be within 0 and 1.")
    if halves not in HALVES:
        raise ValueError(f"halves is {halves!r}: it must be one of {', '.join(HALVES)}.")

    def exchange(name, step, maps, of):
        unconditional, conditional = of
        if step >= share * len(pipe.scheduler.timesteps) or maps.shape[2] > (most_tokens or maps.shape[2]):
            return maps
        maps = maps.clone()
        for rows in (conditional,) if halves == "conditional" else (unconditional, conditional):
            count = rows.stop - rows.start
            if count % 2:
                raise ValueError(f"{count} prompts: give as many targets as sources.")
            middle = rows.start + count // 2
            maps[middle : rows.stop] = maps[rows.start : middle]
        return maps

    chosen = {}
    for kind in kinds:
        modules = list(attention_modules(pipe.unet, kind).items())
        missing = [number for number in layers or () if not 0 <= number < len(modules)]
        if missing:
            raise ValueError(f"layers has {missing[0]}: there are {len(modules)} layers, from 0.")
        wanted = range(len(modules)) if layers is None else layers
        chosen |= {modules[number][0]: (modules[number][1], exchange) for number in wanted}
    with _exchanged(pipe, chosen if share else {}):
        yield


@contextmanager
def _exchanged(pipe, exchanges):
    """Pass the maps of attention modules through functions: {name: (module, exchange(name, step, maps, of))}.

    maps: (rows, heads, queries, keys); of: the rows without and those with their condition, slices. The modules'
    processors are as before afterwards, also after an exception.
    """
    state = {"step": -1, "rows": 0}

    def count_steps(module, args):
        begins = args[1] == pipe.scheduler.timesteps[0]  # a context may hold several calls of the pipeline
        state["step"], state["rows"] = 0 if begins else state["step"] + 1, len(args[0])

    def halves():
        middle = state["rows"] // 2 if pipe.do_classifier_free_guidance else 0
        return slice(0, middle), slice(middle, state["rows"])

    taken = [name for name, (module, _) in exchanges.items() if isinstance(module.processor, _ExplicitAttention)]
    if taken:
        raise ValueError(f"the maps of {taken[0]} are recorded or shared already: leave that context first.")
    with ExitStack() as stack:
        stack.callback(pipe.unet.register_forward_pre_hook(count_steps).remove)
        for name, (module, exchange) in exchanges.items():
            stack.callback(module.set_processor, module.processor)

            def of_module(maps, name=name, exchange=exchange):
                return exchange(name, state["step"], maps, halves())

            module.set_processor(_ExplicitAttention(of_module))
        yield


class _ExplicitAttention(AttnProcessor):
    """Attention that writes its maps out, and lets a function change them: (rows, heads, queries, keys)."""

    def __init__(self, change):
        self.change = change

    def __call__(self, attn, *args, **kwargs):
        plain = attn.get_attention_scores

        def changed(query, key, attention_mask=None):
            maps = plain(query, key, attention_mask)
            return self.change(maps.unflatten(0, (-1, attn.heads))).flatten(0, 1)

        attn.get_attention_scores = changed  # beside the class's own, which comes back
        try:
            return super().__call__(attn, *args, **kwargs)
        finally:
            del attn.get_attention_scores


def token_map(maps, tokens, side):
    """The map of some text tokens over the picture: (pictures, heads, queries, keys) -> (pictures, side, side).

    tokens: their places in the sentence, the start counts as 0. The mean over heads, the sum over tokens.
    Raises ValueError where the queries are no square of that side.
    """
    if maps.shape[2] != side * side:
        raise ValueError(f"maps has {maps.shape[2]} queries: they are no square of side {side}.")
    return torch.stack([maps[..., token] for token in tokens]).sum(0).mean(1).unflatten(1, (side, side))
