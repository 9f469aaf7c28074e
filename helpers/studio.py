"""The editing studio: a live panel of sliders over one model, for a notebook or, with Voila, a page of its own."""

import collections
import html
from dataclasses import replace

from diffusers import UNet2DConditionModel

from helpers.attention import find_layers
from helpers.controls import Controls
from helpers.engine import METHODS, Cancelled, Engine, Settings
from helpers.keeping import direction_link, strip_link, uploaded_directions
from helpers.measuring import LADDER, matching_strength, measured_names, measures
from helpers.models import load_model
from helpers.pictures import read_picture
from helpers.regions import Region
from helpers.toyworld import WORLDS
from helpers.widgets import triptych
from helpers.worker import Worker

POOR_RECONSTRUCTION = 25  # decibels, below which the studio warns
WITHOUT_KERNEL = "<p>The studio needs a running kernel: run this notebook, or <code>make studio</code>.</p>"


class Studio:
    """The panel. Show it in a notebook, or with Voila as a page; `close` stops its thread.

    model: `DiffusionModel` to begin with; more_models: names for `load_model`, loaded when they are chosen.
    One thread computes, always the latest settings; a new drag cancels what is running. Errors appear in the panel, in
    one line, and leave the picture before as it was. There is one studio at a time: a new one closes the one before.
    """

    _open = None

    def __init__(self, model, more_models=(), num_inference_steps=50):
        _check_model(model)
        if Studio._open is not None:
            Studio._open.close()
        self._steps, self._engines = num_inference_steps, {model.name: Engine(model, num_inference_steps)}
        self.engine = self._engines[model.name]
        names = dict.fromkeys([model.name, *more_models])
        layers = [layer.name for layer in find_layers(model.unet)]
        self.controls = Controls(list(names), layers, self._factors())
        self._elsewhere, self._names, self._notes = {}, {}, []
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
        c, settings = self.controls, self._unedited_settings()
        shown = {**self._elsewhere, c.layer.value: [slider.value for slider in c.sliders]}
        if c.unit.value != "alpha":
            shown = {
                name: [matching_strength(self.engine, settings, name, i, v, step) for i, v in enumerate(changes)]
                for name, changes in shown.items()
            }
        return replace(settings, strengths=shown)

    def _unedited_settings(self):
        c = self.controls
        latents = "upload" if c.source.value == "upload" else int(c.seed.value)
        window, across, down = (
            tuple(round(share, 2) for share in control.value) for control in (c.window, c.across, c.down)
        )
        region = Region(c.region.value, across, down)
        return Settings({}, c.method.value, window, c.site.value, region, latents)

    # what the controls do

    def _observe(self):
        c, request = self.controls, self.worker.request
        for control in c.values:
            control.observe(lambda _: request(), "value")
        c.layer.observe(self._change_layer, "value")
        c.unit.observe(self._change_unit, "value")
        c.model.observe(lambda change: request(lambda step: self._take_model(change["new"]), keep=True), "value")
        c.file.observe(lambda change: self._receive(change, self._take_picture), "value")
        c.load.observe(lambda change: self._receive(change, self._take_directions), "value")
        c.new_sample.on_click(lambda _: self._show_sample(c.seed.value + 1))
        c.reset.on_click(lambda _: self._to_zero())
        c.measure.on_click(lambda _: request(self._measure_names))
        c.save.on_click(lambda _: request(self._save))
        c.strip.on_click(lambda _: request(self._export_strip))
        c.cancel.on_click(lambda _: self.worker.cancel())

    def _receive(self, change, task):
        """A file arrived: a tuple of dicts in ipywidgets 8, a dict by name in 7."""
        if change["new"]:
            files = change["new"].values() if isinstance(change["new"], dict) else change["new"]
            data = bytes(next(iter(files))["content"])
            self.worker.request(lambda step: task(data, step), keep=True)
            if "owner" in change:  # emptied, so that the same file can be chosen again
                change["owner"].set_trait("value", {} if isinstance(change["new"], dict) else ())

    def _change_layer(self, change):
        """Every layer keeps its own strengths, which add up; the sliders show those of the chosen one."""
        if not self.worker.calls:
            sliders = self.controls.sliders
            self._elsewhere[change["old"]] = [slider.value for slider in sliders]
            for slider, value in zip(sliders, self._elsewhere.pop(change["new"], [0] * len(sliders))):
                slider.value = value
            self.worker.request()

    def _change_unit(self, _):
        self._elsewhere.clear()
        self.controls.set_unit()
        self.worker.request()

    def _to_zero(self):
        self._elsewhere.clear()
        self.controls.to_zero()
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
        c = self.controls
        self._label_sliders(step)
        settings = self.settings(step)
        edited, original = self.engine.edit(settings, step), self.engine.original(settings.latents, step)
        name = "your picture" if settings.latents == "upload" else f"seed {settings.latents}"
        mask = settings.region.mask(self._layer(c.layer.value).resolution)
        c.view.value = triptych(original, edited, f"{name}, {settings.in_words()}", name, mask)
        c.progress.value = c.progress.max
        notes, self._notes = self._notes, []
        c.status.value = html.escape("; ".join([*notes, *self._measures(settings, original, edited)]))

    def _label_sliders(self, step):
        c = self.controls
        layer = self._layer(c.layer.value)
        values = self.engine.directions(layer, c.method.value, step).values
        c.label_sliders(values, self._names.get(self._names_key(layer.name, c.method.value), []))

    def _names_key(self, layer_name, method):
        """Names that were measured hold for a window and a site; those of a file are its own."""
        c = self.controls
        where = () if method == "file" else (c.window.value, c.site.value)
        return self.engine.model.name, layer_name, method, where

    def _measures(self, settings, original, edited):
        found = measures(self.engine.model.name, original, edited)
        if self.controls.unit.value != "alpha" and settings.strengths:
            short = any(abs(alpha) >= LADDER[-1] for _, alphas in settings.strengths for alpha in alphas)
            found.append(settings.in_words() + (f", the largest that is tried: {LADDER[-1]}" if short else ""))
        if settings.latents == "upload":
            poor = self.engine.decibels < POOR_RECONSTRUCTION
            warning = ", poor: edits will not be of your picture" if poor else ""
            found.append(f"your picture came back with {self.engine.decibels:.1f} dB{warning}")
        rows, name = self.engine.rows, self.engine.model.name
        found.append(f"{rows - self._passes_told[name]} network passes")
        self._passes_told[name] = rows
        return found

    def _layer(self, name):
        return next(layer for layer in find_layers(self.engine.model.unet) if layer.name == name)

    def _factors(self):
        world = WORLDS.get(self.engine.model.name)
        return list(world.factors) if world else []

    # tasks of the thread

    def _take_model(self, name):
        """Another model; after a failure the one before stays chosen."""
        c = self.controls
        if name == self.engine.model.name:
            return
        try:
            if name not in self._engines:
                c.status.value = f"loading {html.escape(name)} ..."
                model = load_model(name, self.engine.model.device, self.engine.model.dtype)
                _check_model(model)
                self._engines[name] = Engine(model, self._steps)
        except Exception:
            if c.model.value == name:
                c.model.value = self.engine.model.name
            raise
        self.engine, c.model.value = self._engines[name], name
        self._elsewhere.clear()
        c.to_zero()
        c.method.value, c.source.value, c.region.value = "refined", "sample", "everywhere"
        c.layer.options = [layer.name for layer in find_layers(self.engine.model.unet)]
        c.region.options = [*c.region.options[:3], *self._factors()]

    def _take_picture(self, data, step):
        picture, notes = read_picture(data, self.engine.model.sample_shape[-1])
        self.engine.use(picture, step)
        self.controls.source.value = "upload"
        self._notes += notes

    def _take_directions(self, data, step):
        c = self.controls
        directions, about = uploaded_directions(data, self.engine.model.unet)
        self.engine.add(directions)
        self._names[self._names_key(directions.layer, "file")] = about["names"]
        if "file" not in c.method.options:
            c.method.options = [*METHODS, "file"]
        self._to_zero()
        c.layer.value, c.method.value = directions.layer, "file"
        self._notes.append(f"loaded: {', '.join(about['names'])}")

    def _measure_names(self, step):
        c = self.controls
        layer, method = self._layer(c.layer.value), c.method.value
        settings = replace(self._unedited_settings(), region=Region())
        names = measured_names(self.engine, layer, method, settings, step=step)
        self._names[self._names_key(layer.name, method)] = names

    def _save(self, step):
        c = self.controls
        name, others = c.name.value.strip(), self._elsewhere.values()
        c.links.value, alpha = direction_link(self.engine, self.settings(step), c.layer.value, name, step)
        whole = c.region.value == "everywhere" and c.site.value == "projections" and not any(map(any, others))
        more = "" if whole else ", without its region, site and other layers"
        self._notes.append(f"saved {name}: the edit shown has alpha = {alpha:.1f} of it{more}")

    def _export_strip(self, step):
        c = self.controls
        c.links.value = strip_link(self.engine, self.settings(step), c.name.value.strip(), step)
        self._notes.append("the strip is ready, from minus to plus the strengths shown")


def _check_model(model):
    """Raises ValueError for a model that the panel cannot show."""
    find_layers(model.unet)
    if model.sample_shape[0] != 3:
        raise ValueError(f"{model.name} has {model.sample_shape[0]} channels: the studio needs pictures, which have 3.")
    if isinstance(model.unet, UNet2DConditionModel) and "encoder_hidden_states" not in model.unet_inputs:
        raise ValueError(f"{model.name} needs a condition: make a DiffusionModel with unet_inputs, for Studio(model).")
