"""A training loop that can be interrupted at any time and ends as if it had not been."""

import time

import torch

SEED = 0


def step_generator(stage, step, device="cpu"):
    """Random numbers that depend on the step alone, so that an interrupted run ends like an uninterrupted one."""
    return torch.Generator(device).manual_seed((SEED * 10 + stage) * 1_000_000 + step)


def learning_rate_factor(step, steps):
    """Linear warm-up over 500 steps, or an eighth of few; constant until 60 %, then a half cosine down to 2 %."""
    warm, progress = min(1.0, (step + 1) / min(500, steps / 8)), max(0.0, (step / steps - 0.6) / 0.4)
    return warm * (0.02 + 0.98 * 0.5 * (1 + torch.cos(torch.tensor(progress * torch.pi)).item()))


def training_loop(
    stage,
    network,
    loss_of_batch,
    steps,
    state_file,
    learning_rate,
    weight_decay,
    ema=None,
    callback_on_step_end=lambda steps: None,
):
    """Run `loss_of_batch(generator)` for a number of steps with AdamW. Returns (losses per 100 steps, seconds).

    The generator is on the network's device. A state that the run can go on from is written to `state_file`.
    callback_on_step_end(steps) is called with the number of steps done, before the first step with 0.
    """
    device = next(network.parameters()).device
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay, fused=True)
    done, losses, seconds, running = 0, [], 0.0, torch.zeros((), device=device)
    if state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        done, losses, seconds = state["done"], state["losses"], state["seconds"]
        if ema is not None:
            ema.load_state_dict(state["ema"])
        print(f"{state_file.name}: going on from step {done}", flush=True)
    clock, block = time.time(), time.time()
    if not done:
        callback_on_step_end(0)
    for step in range(done, steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * learning_rate_factor(step, steps)
        loss = loss_of_batch(step_generator(stage, step, device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        if ema is not None:
            keep = min(0.9993, (1 + step) / (10 + step))
            with torch.no_grad():
                torch._foreach_lerp_(list(ema.parameters()), list(network.parameters()), 1 - keep)
        running += loss.detach()
        if (step + 1) % 100 == 0:
            rate, block = 100 / (time.time() - block), time.time()
            losses.append(running.item() / 100)
            left = time.strftime("%H:%M:%S", time.gmtime((steps - step - 1) / rate))
            print(f"step {step + 1}/{steps}  loss {losses[-1]:.5f}  {rate:.2f} steps/s  ETA {left}", flush=True)
            running.zero_()
        callback_on_step_end(step + 1)
        if (step + 1) % 500 == 0 or step + 1 == steps:
            spent = seconds + time.time() - clock
            state = {
                "network": network.state_dict(),
                "optimiser": optimiser.state_dict(),
                "done": step + 1,
                "losses": losses,
                "seconds": spent,
            }
            if ema is not None:
                state["ema"] = ema.state_dict()
            torch.save(state, state_file.with_suffix(".part"))
            state_file.with_suffix(".part").replace(state_file)
    return losses, (seconds + time.time() - clock)
