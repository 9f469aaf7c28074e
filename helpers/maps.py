"""Attention maps inside a text-to-image pipeline: record them, or give one picture the maps, or more, of another.

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
    found, modules = {}, attention_modules(pipe.unet, kind)
    if any(isinstance(module.processor, _ExplicitAttention) for module in modules.values()):
        raise ValueError(f"{kind} maps are recorded already: leave that context first.")
    with _counted_steps(pipe) as state, ExitStack() as stack:

        def keep(name, maps):
            kept = maps[_halves(pipe, len(maps))[1]].float().cpu()
            found[name] = kept if state["step"] == 0 else found[name] + (kept - found[name]) / (state["step"] + 1)

        for name, module in modules.items():
            stack.callback(module.set_processor, module.processor)
            module.set_processor(_ExplicitAttention(lambda maps, name=name: keep(name, maps)))
        yield found


@contextmanager
def shared_maps(pipe, kinds=("self",), layers=None, share=1.0, halves="both", most_tokens=None):
    """Inside this context the pipeline's second half of prompts takes the attention maps of the first half.

    A map is what queries and keys make of each other, so the second half takes those, layer by layer.
    Call the pipeline with prompts [*sources, *targets], as many of the one as of the other, and the same latents for
    both. kinds: of "self" and "cross"; layers: numbers of the attention layers, the first is 0, None for all;
    share: of the steps, from the first, in which maps are exchanged; halves: under classifier-free guidance "both", or
    the "conditional" one only; most_tokens: layers with more tokens are left alone.
    Raises ValueError for numbers of layers that the network lacks, a share outside 0 to 1, an unknown kind or half,
    projections that were fused, and, while the pipeline runs, for an odd number of pictures.
    One picture a prompt, in pipelines that begin at the first timestep and pass a batch once or twice a step.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}: it must be within 0 and 1.")
    _check_half(halves)
    chosen = []
    for kind in kinds:
        modules = list(attention_modules(pipe.unet, kind).values())
        missing = [number for number in layers or () if not 0 <= number < len(modules)]
        if missing:
            raise ValueError(f"layers has {missing[0]}: there are {len(modules)} layers, from 0.")
        chosen += [modules[number] for number in (range(len(modules)) if layers is None else layers)]
    if any(getattr(module, "fused_projections", False) for module in chosen):
        raise ValueError("the projections are fused: call unfuse_qkv_projections() first.")
    with _counted_steps(pipe) as state, ExitStack() as stack:

        def look(module, args):
            early = state["step"] < share * len(pipe.scheduler.timesteps)
            state["shared"] = early and (most_tokens is None or args[0].shape[1] <= most_tokens)

        for module in chosen:
            stack.callback(module.register_forward_pre_hook(look).remove)
        _exchange(stack, pipe, [p for m in chosen for p in (m.to_q, m.to_k)], lambda: state["shared"], halves)
        yield


@contextmanager
def shared_outputs(pipe, modules, begin=0.0, end=1.0, halves="both"):
    """Inside this context the second half of prompts takes what modules of the network give for the first half.

    Keys and values of self-attention so exchanged are MasaCtrl's edit (Cao et al. 2023), features of a residual block
    a part of Plug-and-Play's (Tumanyan et al. 2023). modules: of `pipe.unet`, each with one tensor as its output;
    begin, end: shares of the steps between which they are exchanged; prompts, halves: as for `shared_maps`.
    Raises ValueError for shares that are not in order within 0 and 1 and for an unknown half.
    """
    if not 0 <= begin <= end <= 1:
        raise ValueError(f"begin and end are {begin} and {end}: they must be in order, within 0 and 1.")
    _check_half(halves)
    with _counted_steps(pipe) as state, ExitStack() as stack:

        def active():
            steps = len(pipe.scheduler.timesteps)
            return begin * steps <= state["step"] < end * steps

        _exchange(stack, pipe, modules, active, halves)
        yield


def _exchange(stack, pipe, modules, active, halves):
    """While active() holds, rows of targets take the outputs of their sources; hooks are removed with the stack."""

    def share_rows(module, args, output):
        if not active():
            return output
        output = output.clone()
        for rows in _halves(pipe, len(output)) if halves == "both" else _halves(pipe, len(output))[1:]:
            count = rows.stop - rows.start
            if count % 2:
                raise ValueError(f"{count} pictures: give as many targets as sources, and one picture a prompt.")
            middle = rows.start + count // 2
            output[middle : rows.stop] = output[rows.start : middle]
        return output

    for module in modules:
        stack.callback(module.register_forward_hook(share_rows).remove)


def _check_half(halves):
    if halves not in HALVES:
        raise ValueError(f"halves is {halves!r}: it must be one of {', '.join(HALVES)}.")


@contextmanager
def _counted_steps(pipe):
    """Yields {"step": number of the pipeline's step, from 0}, anew in every call of the pipeline."""
    state = {"step": -1}

    def count(module, args):
        state["step"] = 0 if args[1] == pipe.scheduler.timesteps[0] else state["step"] + 1

    handle = pipe.unet.register_forward_pre_hook(count)
    try:
        yield state
    finally:
        handle.remove()


def _halves(pipe, rows):
    """The rows of a batch without and those with their condition, two slices."""
    middle = rows // 2 if pipe.do_classifier_free_guidance else 0
    return slice(0, middle), slice(middle, rows)


class _ExplicitAttention(AttnProcessor):
    """Attention that writes its maps out and shows them to a function: (rows, heads, queries, keys)."""

    def __init__(self, show):
        self.show = show

    def __call__(self, attn, *args, **kwargs):
        plain = attn.get_attention_scores

        def shown(query, key, attention_mask=None):
            maps = plain(query, key, attention_mask)
            self.show(maps.unflatten(0, (-1, attn.heads)))
            return maps

        attn.get_attention_scores = shown  # beside the class's own, which comes back
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
