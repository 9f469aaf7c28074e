"""Edit inside any diffusers pipeline, which runs as it always does while its network's tokens are shifted."""

import functools
import inspect
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import torch
from diffusers import DDIMScheduler
from diffusers.schedulers.scheduling_ddim import DDIMSchedulerOutput

from helpers.editing import Edit, check_windows, collect_shifts, rows_of_edits, shifted_tokens
from helpers.sampling import signal_after

GUIDED = ("both", "conditional")
#: networks whose pipelines put the conditional half of a guided batch first; others put it last
CONDITIONAL_FIRST = ("DiTTransformer2DModel", "LuminaNextDiT2DModel")


@contextmanager
def edited(pipe, edits, guided="both", train_timesteps=1000):
    """Inside this context a pipeline's pictures are edited, each edit while the timestep lies in its window.

    pipe: a diffusers pipeline with a `unet` or a `transformer`, a `DiffusionModel`, or a bare network. Windows are
    shares of the scheduler's T, for flow matching of sigma = t/T; see `helpers.clock.equal_noise_window` for windows
    by noise level. train_timesteps: T of a bare network (1 where it is told sigma), not used otherwise.
    edits: None; one `Edit` for all pictures; or a list with one entry per picture (or one for all): None, an `Edit`, or
    a list of edits that add up. Masks may have any size; a patch of a latent is a token.
    guided: under classifier-free guidance the network sees every picture twice, with and without its condition, in one
    batch: edit "both", or the "conditional" one only. A pipeline that makes two passes (Flux) is edited in both.
    Asymmetric injection (see `Edit`) passes every batch a second time inside the window and takes a DDIM step apart.
    Hooks and `scheduler.step` are as before afterwards, also after an exception. One thread at a time.
    Raises ValueError for edits that do not fit the network or the number of pictures, for asymmetric edits with another
    scheduler than DDIM's, for a schedule that has no T, and, on leaving, for a window that held no step.
    """
    if guided not in GUIDED:
        raise ValueError(f"guided is {guided!r}: it must be one of {', '.join(GUIDED)}.")
    watch = _Watch(pipe, edits, guided, train_timesteps)
    with ExitStack() as stack:
        stack.callback(lambda: watch.hooks.close())
        before = watch.network.register_forward_pre_hook(watch.before, with_kwargs=True)
        stack.callback(before.remove)
        after = watch.network.register_forward_hook(watch.after, with_kwargs=True, always_call=True)
        stack.callback(after.remove)
        if watch.asymmetric:
            stack.callback(delattr, watch.scheduler, "step")
            watch.scheduler.step = _step_of_both(watch.scheduler)
        yield
    check_windows(watch.shifts, list(dict.fromkeys(watch.timesteps)), watch.total)


def network_of(pipe):
    """The denoising network of a pipeline, or a bare network itself. Raises ValueError where there is none."""
    for network in (pipe, getattr(pipe, "unet", None), getattr(pipe, "transformer", None)):
        if isinstance(network, torch.nn.Module):
            return network
    raise ValueError(f"{type(pipe).__name__} has neither a unet nor a transformer: there is nothing to edit.")


class _Watch:
    """What is known while a pipeline is edited: its shifts, the timesteps seen, the hooks of the current pass."""

    def __init__(self, pipe, edits, guided, train_timesteps):
        self.pipe, self.network, self.guided = pipe, network_of(pipe), guided
        self.scheduler = None if self.network is pipe else getattr(pipe, "scheduler", None)
        self.total = train_timesteps if self.scheduler is None else _total(self.scheduler)
        self.entries = 1 if edits is None or isinstance(edits, Edit) else len(edits)
        self.shifts = collect_shifts(self.network, rows_of_edits(edits, self.entries))
        self.asymmetric = any(shift.injection == "asymmetric" for shift in self.shifts)
        self.timesteps, self.hooks, self.second_pass = [], ExitStack(), False
        kind = "a bare network" if self.scheduler is None else type(self.scheduler).__name__
        if self.asymmetric and not isinstance(self.scheduler, DDIMScheduler):
            raise ValueError(
                f"injection 'asymmetric' needs the step of a DDIMScheduler: with {kind} only 'symmetric' is possible."
            )
        if self.asymmetric and "step" in vars(self.scheduler):
            raise ValueError(f"the step of this {kind} is changed already: put all edits into one list.")

    def before(self, network, args, kwargs):
        """Hook before a pass: shift the tokens of every layer whose window is open."""
        call = inspect.signature(network.forward).bind(*args, **kwargs).arguments
        timestep = self._timestep(call)
        self.timesteps.append(timestep)
        self.hooks.close()
        order = self._order(next(iter(call.values())))
        for shift in self._active(timestep):
            rows = [[] if entry is None else shift.rows[entry] for entry in order]
            height, width = self._size(call, rows)
            tokens = functools.cache(functools.partial(replace(shift, rows=rows).tokens, height=height, width=width))
            self.hooks.enter_context(shifted_tokens(shift.layer, tokens, shift.site))

    def after(self, network, args, kwargs, output):
        """Hook after a pass: put the prediction without asymmetric shifts beside it; guidance then mixes both."""
        self.hooks.close()
        if output is None or self.second_pass:  # None: the pass failed
            return None
        if all(shift.injection == "symmetric" for shift in self._active(self.timesteps[-1])):
            return None
        if getattr(self.pipe, "guidance_rescale", 0):
            raise ValueError("guidance_rescale mixes pixels: asymmetric edits need guidance_rescale=0.")
        self.second_pass = True
        try:
            plain = network(*args, **kwargs)
        finally:
            self.second_pass = False
        both = torch.cat([output[0], plain[0]], dim=-1)
        return (both, *output[1:]) if isinstance(output, tuple) else type(output)(sample=both)

    def _active(self, timestep):
        shifts = [shift for shift in self.shifts if shift.holds(timestep, self.total)]
        return [shift for shift in shifts if not self.second_pass or shift.injection == "symmetric"]

    def _timestep(self, call):
        """t of a pass. Transformers of flow matching are told t, t/T or 1 - t/T: their scheduler knows where it is."""
        told = torch.as_tensor(call.get("timestep", torch.empty(0))).flatten()
        if not len(told) or (told != told[0]).any():
            raise ValueError(f"{type(self.network).__name__} must be told one timestep for all of its rows.")
        if self.scheduler is None or told[0] > 1 or not _matches_flows(self.scheduler):
            return told[0].item()
        now = self.scheduler.begin_index if self.scheduler.step_index is None else self.scheduler.step_index
        return self.scheduler.timesteps[now or 0].item()

    def _order(self, latents):
        """For every row of a pass the entry of the edits that it takes, or None where it is not edited."""
        if self.entries == 1 and self.guided == "both":
            return [0] * len(latents)
        known = getattr(self.pipe, "do_classifier_free_guidance", None)
        two_halves = len(latents) % 2 == 0 and known is not False and (known or len(latents) != self.entries)
        two_halves = two_halves and torch.equal(*latents.chunk(2))  # guidance shows the network every latent twice
        pictures = len(latents) // 2 if two_halves else len(latents)
        if self.entries not in (1, pictures):
            raise ValueError(f"{self.entries} edits for {pictures} pictures: give one for all, or one entry each.")
        order = [row % self.entries for row in range(pictures)]
        if not two_halves:
            return order
        other = order if self.guided == "both" else [None] * pictures
        return order + other if type(self.network).__name__ in CONDITIONAL_FIRST else other + order

    def _size(self, call, rows):
        """Height and width of what the tokens tile: of the latents, or, where these come as tokens, of their places."""
        latents = next(iter(call.values()))
        if latents.ndim != 3:
            return latents.shape[-2:]
        if "img_ids" in call:  # Flux: (tokens, 3) or (1, tokens, 3), with row and column last
            return (call["img_ids"].flatten(0, -2).amax(0)[-2:] + 1).int().tolist()
        if any(mask is not None for edits in rows for _, mask in edits):
            raise ValueError(f"{type(self.network).__name__} does not say where its tokens lie: leave the mask out.")
        return 1, 1


def _matches_flows(scheduler):
    return not hasattr(scheduler, "alphas_cumprod") or scheduler.config.get("use_flow_sigmas", False)


def _total(scheduler):
    """T of a scheduler. Raises ValueError where timesteps are not steps of T, as in continuous-time models."""
    name, config = type(scheduler).__name__, scheduler.config
    discrete = hasattr(scheduler, "alphas_cumprod") and config.get("timestep_type", "discrete") == "discrete"
    if not discrete and not name.startswith("FlowMatch"):
        raise ValueError(f"the timesteps of {name} are no shares of T: windows have no meaning there.")
    return config.num_train_timesteps


def _step_of_both(scheduler):
    """The scheduler's step, for two predictions side by side: the first one's picture, the second one's direction."""
    step = scheduler.step

    @functools.wraps(step)  # pipelines look at the signature
    def step_of_both(model_output, timestep, sample, *args, **kwargs):
        if model_output.shape[-1] != 2 * sample.shape[-1]:
            return step(model_output, timestep, sample, *args, **kwargs)
        shifted, plain = model_output.chunk(2, dim=-1)
        named = inspect.signature(step).bind(plain, timestep, sample, *args, **kwargs).arguments
        as_object = named.pop("return_dict", True)
        result = step(**named)
        picture = step(shifted, timestep, sample).pred_original_sample  # eta = 0: draws no noise
        moved = result.prev_sample + signal_after(scheduler, timestep) * (picture - result.pred_original_sample)
        return DDIMSchedulerOutput(moved, picture) if as_object else (moved, picture)

    return step_of_both
