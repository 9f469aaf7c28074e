"""The editing studio: a live panel of sliders over one model, for a notebook or, with Voila, a page of its own."""

import html
import queue
import threading
import time

import ipywidgets
import torch

from helpers.attention import find_layers
from helpers.editing import SITES
from helpers.engine import METHODS, SLIDERS, Cancelled, Engine, Settings
from helpers.metrics import psnr
from helpers.pictures import read_picture
from helpers.widgets import triptych

POOR_RECONSTRUCTION = 25  # decibels, below which the studio warns
WITHOUT_KERNEL = "<p>The studio needs a running kernel: run this notebook, or <code>make studio</code>.</p>"


class Studio:
    """The panel. Show it in a notebook, or with Voila as a page; `close` stops its thread.

    One thread computes, always the latest settings; a new drag cancels what is running. Errors appear in the panel, in
    one line; after a file that is refused, the picture before stays.
    """

    def __init__(self, model, num_inference_steps=50):
        self.engine = Engine(model, num_inference_steps)
        self.layers = {layer.name: layer for layer in find_layers(model.unet)}
        self._changed, self._cancel, self._closed = threading.Event(), threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._uploads = queue.SimpleQueue()
        self._build()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        self._request()

    def close(self):
        """Stop computing, and take the panel away."""
        self._closed.set()
        self._cancel.set()
        self._changed.set()
        self._thread.join()
        for widget in _with_children(self.panel):
            widget.close()

    def _repr_mimebundle_(self, include=None, exclude=None):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.panel.model_id}
        return {
            "text/plain": "Studio",
            "text/html": WITHOUT_KERNEL,
            "application/vnd.jupyter.widget-view+json": view,
        }

    def wait(self):
        """Block until nothing is left to compute, or the panel is closed."""
        while self._thread.is_alive() and (self._changed.is_set() or not self._idle.is_set()):
            time.sleep(0.05)

    def settings(self):
        """The `Settings` that the controls show."""
        latents = "upload" if self.source.value == "upload" else int(self.seed.value)
        strengths = tuple(float(slider.value) for slider in self.sliders)
        window = tuple(round(share, 2) for share in self.window.value)
        return Settings(self.layer.value, self.method.value, strengths, window, self.site.value, latents)

    def _build(self):
        wide = {"description_width": "110px"}
        self.layer = ipywidgets.Dropdown(options=list(self.layers), description="layer", style=wide)
        self.method = ipywidgets.Dropdown(options=METHODS, value="refined", description="directions by", style=wide)
        self.site = ipywidgets.Dropdown(options=SITES, description="shift at", style=wide)
        self.window = ipywidgets.FloatRangeSlider(
            value=(0.5, 0.8), min=0, max=1, step=0.05, description="window, t / T", style=wide, continuous_update=False
        )
        self.source = ipywidgets.Dropdown(options=["sample", "upload"], description="picture", style=wide)
        self.seed = ipywidgets.BoundedIntText(value=0, min=0, max=10**6, description="seed", style=wide)
        self.file = ipywidgets.FileUpload(accept=".png,.jpg,.jpeg,.webp", multiple=False, description="your picture")
        self.sliders = [
            ipywidgets.FloatSlider(
                value=0,
                min=-20,
                max=20,
                step=1,
                style={"description_width": "130px"},
                layout=ipywidgets.Layout(width="400px", max_width="100%"),
                continuous_update=False,
            )
            for _ in range(SLIDERS)
        ]
        self.cancel = ipywidgets.Button(description="cancel")
        self.progress = ipywidgets.IntProgress(value=0, min=0, max=1, description="", bar_style="info")
        self.status = ipywidgets.HTML()
        self.view = ipywidgets.HTML()
        self._name_sliders()
        for control in (self.layer, self.method, self.site, self.window, self.source, self.seed, *self.sliders):
            control.observe(lambda _: self._request(), "value")
        self.file.observe(self._receive, "value")
        self.cancel.on_click(lambda _: self._cancel.set())
        left = ipywidgets.VBox([self.layer, self.method, self.site, self.window, self.source, self.seed, self.file])
        right = ipywidgets.VBox([*self.sliders, ipywidgets.HBox([self.cancel, self.progress]), self.status])
        controls = ipywidgets.HBox([left, right], layout=ipywidgets.Layout(flex_flow="row wrap"))
        self.panel = ipywidgets.VBox([controls, self.view])

    def _name_sliders(self):
        values = self.engine.directions(self.layers[self.layer.value], self.method.value).values
        for index, slider in enumerate(self.sliders):
            slider.description = f"{index + 1}" if values is None else f"{index + 1}, eigenvalue {values[index]:.2f}"

    def _receive(self, change):
        """A file arrived: a tuple of dicts in ipywidgets 8, a dict by name in 7."""
        if change["new"]:
            files = change["new"].values() if isinstance(change["new"], dict) else change["new"]
            self._uploads.put(bytes(next(iter(files))["content"]))
            if self.source.value == "upload":
                self._request()
            else:
                self.source.value = "upload"  # which asks for it, too

    def _request(self):
        self._cancel.set()
        self._changed.set()

    def _work(self):
        while True:
            self._changed.wait()
            self._idle.clear()
            self._changed.clear()
            self._cancel.clear()
            if self._closed.is_set():
                return
            try:
                self._show()
            except Cancelled:
                self.status.value = "cancelled"
            except Exception as error:  # the panel is the only place for it
                message = (str(error) or type(error).__name__).splitlines()[0]
                self.status.value = f"<span role='alert'>{html.escape(message)}</span>"
            finally:
                self._idle.set()

    def _show(self):
        started = time.monotonic()

        def step(done, total):
            nonlocal started
            if self._cancel.is_set():
                raise Cancelled
            started = started if done else time.monotonic()
            self.progress.max, self.progress.value = total, done
            if done:
                left = (time.monotonic() - started) / done * (total - done)
                self.status.value = f"step {done} of {total}, about {left:.0f} s left"

        self._name_sliders()
        notes, data, rows = [], None, self.engine.rows
        while not self._uploads.empty():
            data = self._uploads.get()
        if data is not None:
            picture, notes = read_picture(data, self.engine.model.sample_shape[-1])
            self.engine.use(picture, step)
        settings = self.settings()
        edited, original = self.engine.edit(settings, step), self.engine.original(settings.latents, step)
        strengths = ", ".join(f"{alpha:g}" for alpha in settings.strengths)
        name = "your picture" if settings.latents == "upload" else f"seed {settings.latents}"
        self.view.value = triptych(original, edited, f"{name}, strengths {strengths}", name)
        self.progress.value = self.progress.max
        self.status.value = html.escape("; ".join([*notes, *self._measures(settings, original, edited, rows)]))

    def _measures(self, settings, original, edited, rows):
        found = ["unedited"]
        if not torch.equal(original, edited):
            found = [f"PSNR to the original {psnr(edited.unsqueeze(0), original.unsqueeze(0)).item():.1f} dB"]
        if settings.latents == "upload":
            poor = self.engine.decibels < POOR_RECONSTRUCTION
            warning = ", poor: edits will not be of your picture" if poor else ""
            found.append(f"your picture came back with {self.engine.decibels:.1f} dB{warning}")
        return [*found, f"{self.engine.rows - rows} network passes"]


def _with_children(widget):
    """A widget and all that it holds."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _with_children(child)
