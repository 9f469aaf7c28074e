"""How each kind of finding edits a picture: a shift of tokens, of x_t, or of h."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from diffusers import UNet2DModel

from helpers.directions import Directions
from helpers.editing import Edit
from helpers.models import DiffusionModel
from helpers.sampling import denoise, sample, set_timesteps, signal_after


@dataclass
class Passes:
    """Pictures that went through a U-Net: forward; as Jacobian times vector, jvp; as vector times Jacobian, vjp.

    A backward pass of training is a vjp. Of Pullback all three end at the middle block.
    """

    forward: int = 0
    jvp: int = 0
    vjp: int = 0


@contextmanager
def counted_passes(model):
    """Inside this context every picture that passes the model's U-Net is counted: yields `Passes`."""
    passes = Passes()

    def count(_, inputs):
        passes.forward += len(inputs[0])

    handle = model.unet.register_forward_pre_hook(count)
    try:
        yield passes
    finally:
        handle.remove()


def check_unconditional(model):
    """Raises ValueError for a model on which these methods are not defined here."""
    if not isinstance(model.unet, UNet2DModel) or model.unet_inputs or model.unet.mid_block is None:
        raise ValueError(f"{model.name} is no unconditional UNet2DModel with a middle block: its rivals need one.")
    if model.scheduler.config.prediction_type != "epsilon":
        raise ValueError(f"{model.name} predicts {model.scheduler.config.prediction_type!r}: it must predict noise.")


def check_share(share):
    """Raises ValueError for a timestep that is not on the schedule."""
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}: it must be above 0 and at most 1, a share of T.")


def check_window(window):
    """Raises ValueError for a window that is not (start, end), as shares of T."""
    if not 0 <= window[0] < window[1] <= 1:
        raise ValueError(f"window is {window}: it must be (start, end) with 0 <= start < end <= 1, as shares of T.")


def in_window(model, timesteps, window):
    """The timesteps in a window, both ends included. Raises ValueError where it holds none of them."""
    start, end = (share * model.train_timesteps for share in window)
    inside = [t for t in timesteps if start <= t <= end]
    if not inside:
        raise ValueError(f"the window {window} holds none of the {len(timesteps)} timesteps: widen it, or take more.")
    return inside


def check_edit(found, latents, strength, direction):
    """Strengths, one per latent. Raises ValueError for a direction that was not found, or a strength of odd size."""
    if not 0 <= direction < found.count:
        raise ValueError(f"direction is {direction}: there are {found.count}, counted from 0.")
    values = torch.as_tensor(strength, dtype=torch.float32).flatten()
    if len(values) not in (1, len(latents)) or not torch.isfinite(values).all():
        raise ValueError(f"strength is {strength}: give a finite number, or one for each of {len(latents)} latents.")
    return values.expand(len(latents))


@dataclass(frozen=True, eq=False)
class TokenEdit:
    """Shift the tokens of one layer along one of `Directions`, as `Edit` does; strength is its alpha."""

    model: DiffusionModel
    directions: Directions
    window: tuple = (0.5, 0.8)
    injection: str = "symmetric"
    passes: Passes = field(default_factory=Passes)

    @property
    def count(self):
        return len(self.directions)

    def edit(self, latents, strength, num_inference_steps=50, direction=0):
        """Pictures on the CPU, (batch, channels, height, width) in [0, 1]; strength: one number, or one per latent."""
        strengths = check_edit(self, latents, strength, direction)
        vector, layer = self.directions.vectors[direction], self.directions.layer
        edits = [Edit(vector, alpha, layer, self.window, injection=self.injection) for alpha in strengths.tolist()]
        return sample(self.model, latents, edits, num_inference_steps)


@dataclass(frozen=True, eq=False)
class NoisyPictureEdit:
    """Shift x_t once, at one timestep; strength multiplies a vector of unit length.

    vectors: (pictures, count, channels, height, width); of one picture they are used for every latent, else picture by
    picture. values: (pictures, count), singular values. guided: shift by what the vector changes in the predicted noise
    (Park et al. 2023) instead of by the vector itself.
    """

    model: DiffusionModel
    vectors: torch.Tensor
    values: torch.Tensor
    timestep: int
    guided: bool
    passes: Passes

    GUIDANCE, REPEATS = 0.1, 16  # of Pullback

    @property
    def count(self):
        return self.vectors.shape[1]

    @torch.no_grad()
    def edit(self, latents, strength, num_inference_steps=50, direction=0):
        """Pictures on the CPU, (batch, channels, height, width) in [0, 1]; strength: one number, or one per latent."""
        strengths = check_edit(self, latents, strength, direction)
        if len(self.vectors) not in (1, len(latents)):
            raise ValueError(f"the vectors belong to {len(self.vectors)} pictures: {len(latents)} latents are others.")
        shift = strengths.to(self.vectors).view(-1, 1, 1, 1) * self.vectors[:, direction]
        with self.model.lock:
            timesteps = set_timesteps(self.model, num_inference_steps)
            if self.timestep not in timesteps:
                raise ValueError(f"t = {self.timestep} is none of the {num_inference_steps} timesteps: find it anew.")
            begin = timesteps.index(self.timestep)
            state = denoise(self.model, latents, timesteps[:begin], [])
            state = self._guided(state, shift.to(state)) if self.guided else state + shift.to(state)
            return self.model.decode(denoise(self.model, state, timesteps[begin:], []))

    def _guided(self, state, shift):
        for _ in range(self.REPEATS):
            noise = self.model.unet(torch.cat([state + shift, state]), self.timestep).sample
            state = state + self.GUIDANCE * (noise[: len(state)] - noise[len(state) :])
        return state


@dataclass(frozen=True, eq=False)
class MiddleEdit:
    """Shift h at every step inside a window.

    shift: function (h, timestep, direction) -> a shift like h. guided: False shifts the predicted picture alone, by
    strength times the shift (Kwon et al. 2023, eq. 5); True adds strength times what the shift changes in the predicted
    noise to all of the step (Dalva and Yanardag 2024). losses: of training, one per update; values: deviations of PCA,
    (timesteps, count).
    """

    model: DiffusionModel
    shift: Callable
    count: int
    window: tuple
    guided: bool
    passes: Passes
    losses: tuple = ()
    values: torch.Tensor | None = None

    @torch.no_grad()
    def edit(self, latents, strength, num_inference_steps=50, direction=0):
        """Pictures on the CPU, (batch, channels, height, width) in [0, 1]; strength: one number, or one per latent."""
        strengths = check_edit(self, latents, strength, direction).to(self.model.device).view(-1, 1, 1, 1)
        latents = latents.to(self.model.device, self.model.dtype)
        with self.model.lock:
            timesteps = set_timesteps(self.model, num_inference_steps)
            inside = in_window(self.model, timesteps, self.window)
            for timestep in timesteps:
                if timestep in inside:
                    scale = 1 if self.guided else strengths
                    noise, plain = noise_pair(self.model, latents, timestep, self.shift, direction, scale)
                    if self.guided:
                        noise = plain + strengths * (noise - plain)
                        latents = self.model.scheduler.step(noise, timestep, latents, eta=0.0).prev_sample
                    else:
                        latents = asymmetric_step(self.model, latents, timestep, noise, plain)[0]
                else:
                    latents = denoise(self.model, latents, [timestep], [])
            return self.model.decode(latents)


def noise_pair(model, latents, timestep, shift, direction=0, scale=1):
    """The predicted noise with h + scale * shift(h, timestep, direction), and without; in one batch."""

    def moved(_, inputs, h):
        half = h[: len(h) // 2]
        return torch.cat([half + scale * shift(half, timestep, direction), h[len(h) // 2 :]])

    handle = model.unet.mid_block.register_forward_hook(moved)
    try:
        return model.unet(torch.cat([latents, latents]), timestep).sample.chunk(2)
    finally:
        handle.remove()


def asymmetric_step(model, latents, timestep, noise, plain_noise):
    """A DDIM step whose predicted picture P comes from one noise and whose direction D from the other.

    x_prev = sqrt(abar') P(noise) + sqrt(1 - abar') D(plain_noise). Returns it, P(noise) and P(plain_noise).
    """
    edited = model.scheduler.step(noise, timestep, latents, eta=0.0).pred_original_sample
    plain = model.scheduler.step(plain_noise, timestep, latents, eta=0.0)
    moved = signal_after(model.scheduler, timestep) * (edited - plain.pred_original_sample)
    return plain.prev_sample + moved, edited, plain.pred_original_sample
