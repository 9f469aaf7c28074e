"""The editing studio: a live panel of sliders over one model, for a notebook or, with Voila, a page of its own."""

import collections
import html
from dataclasses import replace
from functools import partial

from helpers.attention import find_layers, get_layer
from helpers.studio import tasks
from helpers.studio.controls import Controls
from helpers.studio.engine import Cancelled, Engine
from helpers.studio.explorer import triptych
from helpers.studio.measuring import LADDER, matching_strength, measures
from helpers.studio.worker import Worker
from helpers.toyworld import WORLDS

POOR_RECONSTRUCTION = 25  # decibels, below which the studio warns
WITHOUT_KERNEL = "<p>The studio needs a running kernel: run this notebook, or <code>make studio</code>.</p>"
SUGGESTION = "for a small region, directions by paper fit better than refined ones"


class Studio:
    """The panel. Show it in a notebook, or with Voila as a page; `close` stops its thread.

    model: `DiffusionModel` to begin with; more_models: names for `load_model`, loaded when they are chosen;
    random_directions: with how many of them "measure names" compares.
    One thread computes, always the latest settings; a new drag cancels what is running. Errors appear in the panel, in
    one line, and leave the picture before as it was. There is one studio at a time: a new one closes the one before.
    """

    _open = None

    def __init__(self, model, more_models=(), num_inference_steps=50, random_directions=9):
        tasks.check_model(model)
        if Studio._open is not None:
            Studio._open.close()
        self.num_inference_steps, self.random_directions = num_inference_steps, random_directions
        self.engine = Engine(model, num_inference_steps)
        self.engines, self.surveys = {model.name: self.engine}, {}
        names = dict.fromkeys([model.name, *more_models])
        layers = [layer.name for layer in find_layers(model.unet)]
        self.controls = Controls(list(names), layers, self.factors())
        self.names, self.notes, self.method_chosen = {}, [], False
        self._passes_told = collections.Counter()
        self.worker = Worker(self._show, self._progress, self._report)
        self._observe()
        self.worker.request()
        Studio._open = self

    def close(self):
        """Stop computing, and take the panel away."""
        self.worker.close()
        self.controls.close()
        if Studio._open is self:
            Studio._open = None

    def _repr_mimebundle_(self, include=None, exclude=None):
        view = {"version_major": 2, "version_minor": 0, "model_id": self.controls.panel.model_id}
        return {
            "text/plain": "Studio",
            "text/html": WITHOUT_KERNEL,
            "application/vnd.jupyter.widget-view+json": view,
        }

    def wait(self):
        """Block until nothing is left to compute, or the panel is closed."""
        self.worker.wait()

    def settings(self, step=lambda done, total: None):
        """The `Settings` that the controls show, with strengths in alpha whatever their unit."""
        c, settings = self.controls, self.controls.settings()
        shown = c.strengths
        if c.unit.value != "alpha":
            shown = {
                name: [matching_strength(self.engine, settings, name, i, v, step) for i, v in enumerate(changes)]
                for name, changes in shown.items()
            }
        return replace(settings, strengths=shown)

    def layer(self):
        """The `AttentionLayer` that is chosen."""
        return get_layer(self.engine.model.unet, self.controls.layer.value)

    def factors(self):
        """Factors of the model's drawn world, or none."""
        world = WORLDS.get(self.engine.model.name)
        return list(world.factors) if world else []

    def names_key(self, layer_name, method):
        """Names that were measured hold for a window, a site and an injection; those of a file are its own."""
        c = self.controls
        where = () if method == "file" else (c.window.value, c.site.value, c.injection.value)
        return self.engine.model.name, layer_name, method, where

    def receive(self, change, task):
        """A file arrived, a tuple of dicts in ipywidgets 8, a dict by name in 7: hand its bytes to a task."""
        if change["new"]:
            files = change["new"].values() if isinstance(change["new"], dict) else change["new"]
            data = bytes(next(iter(files))["content"])
            self.worker.request(lambda step: task(self, data, step), keep=True)
            if "owner" in change:  # emptied, so that the same file can be chosen again
                change["owner"].set_trait("value", {} if isinstance(change["new"], dict) else ())

    # what the controls do

    def _observe(self):
        c, request = self.controls, self.worker.request
        c.method.observe(lambda _: self._choose_method(), "value")
        c.layer.observe(self._change_layer, "value")
        c.unit.observe(lambda _: (c.to_zero(), c.set_range(), request()), "value")
        c.injection.observe(lambda _: c.set_range(), "value")
        for control in c.values:
            control.observe(lambda _: request(), "value")
        c.model.observe(lambda change: request(partial(tasks.take_model, self, change["new"]), keep=True), "value")
        c.file.observe(lambda change: self.receive(change, tasks.take_picture), "value")
        c.load.observe(lambda change: self.receive(change, tasks.take_directions), "value")
        c.new_sample.on_click(lambda _: self._show_sample(c.seed.value + 1))
        c.reset.on_click(lambda _: (c.to_zero(), request()))
        c.measure.on_click(lambda _: request(partial(tasks.measure_names, self)))
        c.save.on_click(lambda _: request(partial(tasks.save, self)))
        c.strip.on_click(lambda _: request(partial(tasks.export_strip, self)))
        c.cancel.on_click(lambda _: self.worker.cancel())

    def _choose_method(self):
        self.method_chosen = self.method_chosen or not self.worker.calls

    def _change_layer(self, change):
        if not self.worker.calls:
            self.controls.change_layer(change["old"], change["new"])
            self.worker.request()

    def _show_sample(self, seed):
        self.controls.source.value = "sample"
        self.controls.seed.value = seed

    # what the thread does

    def _progress(self, done, total, seconds):
        c = self.controls
        c.progress.max, c.progress.value = total, done
        if done:
            c.status.value = f"step {done} of {total}, about {seconds:.0f} s left"

    def _report(self, error):
        message = "cancelled" if isinstance(error, Cancelled) else (str(error) or type(error).__name__).splitlines()[0]
        self.controls.status.value = f"<span role='alert'>{html.escape(message)}</span>"

    def _show(self, step):
        c, layer = self.controls, self.layer()
        values = self.engine.directions(layer, c.method.value, step).values
        c.label_sliders(values, self.names.get(self.names_key(layer.name, c.method.value), []))
        settings = self.settings(step)
        edited, original = self.engine.edit(settings, step), self.engine.original(settings.latents, step)
        name = "your picture" if settings.latents in self.engine.uploads else f"seed {settings.latents}"
        mask = settings.region.mask(layer.resolution or original.shape[-1])
        c.view.value = triptych(original, edited, f"{name}, {settings.in_words()}", name, mask)
        c.progress.value = c.progress.max
        notes, self.notes = self.notes, []
        c.status.value = html.escape("; ".join([*notes, *self._words(settings, original, edited)]))

    def _words(self, settings, original, edited):
        """What the status line says of a picture."""
        found = measures(self.engine.model.name, original, edited)
        if self.controls.unit.value != "alpha" and settings.strengths:
            short = any(abs(alpha) >= LADDER[-1] for _, alphas in settings.strengths for alpha in alphas)
            found.append(settings.in_words() + (f", the largest that is tried: {LADDER[-1]}" if short else ""))
        if settings.region.shape != "everywhere" and not self.method_chosen:
            found.append(SUGGESTION)
        if settings.latents in self.engine.uploads:
            decibels = self.engine.uploads[settings.latents][1]
            warning = ", poor: edits will not be of your picture" if decibels < POOR_RECONSTRUCTION else ""
            found.append(f"your picture came back with {decibels:.1f} dB{warning}")
        rows, name = self._rows(), self.engine.model.name
        found.append(f"{rows - self._passes_told[name]} network passes")
        self._passes_told[name] = rows
        return found

    def _rows(self):
        survey = self.surveys.get(self.engine.model.name)
        return self.engine.rows + (survey.engine.rows if survey else 0)
