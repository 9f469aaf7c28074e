"""What the studio's buttons and files set off: tasks of its thread, functions of the studio and step(done, total)."""

import html
from dataclasses import replace

from diffusers import UNet2DConditionModel

from helpers.attention import find_layers
from helpers.models import load_model
from helpers.pictures import read_picture
from helpers.studio.atlas import Survey
from helpers.studio.engine import Engine
from helpers.studio.keeping import direction_link, strip_link, uploaded_directions
from helpers.studio.settings import SHAPES, Region

NAMING_STEPS = 20  # at most: names need no fine grain


def take_model(studio, name, step):
    """Another model; after a failure the one before stays chosen."""
    c = studio.controls
    if name == studio.engine.model.name:
        return
    try:
        if name not in studio.engines:
            c.status.value = f"loading {html.escape(name)} ..."
            model = load_model(name, studio.engine.model.device, studio.engine.model.dtype)
            check_model(model)
            studio.engines[name] = Engine(model, studio.num_inference_steps)
    except Exception:
        if c.model.value == name:
            c.model.value = studio.engine.model.name
        raise
    studio.engine, c.model.value, c.upload = studio.engines[name], name, None
    c.to_zero()
    c.method.value, c.source.value, c.region.value = "refined", "sample", "everywhere"
    c.layer.options = [layer.name for layer in find_layers(studio.engine.model.unet)]
    c.region.options = [*SHAPES, *studio.factors()]


def take_picture(studio, data, step):
    """A picture to edit."""
    picture, notes = read_picture(data, studio.engine.model.picture_shape[-1])
    studio.controls.upload, studio.controls.source.value = studio.engine.use(picture, step), "upload"
    studio.notes += notes


def take_directions(studio, data, step):
    """A file of directions; where it says so, the shift enters as it did when they were saved."""
    c = studio.controls
    directions, about = uploaded_directions(data, studio.engine.model.unet)
    studio.engine.add(directions)
    c.offer("file")
    c.to_zero()
    c.injection.value = about.get("injection", c.injection.value)
    c.layer.value, c.method.value = directions.layer, "file"
    studio.names[studio.names_key(directions.layer, "file")] = about["names"]
    studio.notes.append(f"loaded: {', '.join(about['names'])}")


def measure_names(studio, step):
    """Name the shown layer's directions by what they move more than random ones do."""
    c, model = studio.controls, studio.engine.model
    if model.name not in studio.surveys:
        steps = min(NAMING_STEPS, studio.num_inference_steps)
        studio.surveys[model.name] = Survey(model, controls=studio.random_directions, num_inference_steps=steps)
    survey, layer, method = studio.surveys[model.name], studio.layer(), c.method.value
    directions = studio.engine.directions(layer, method, step)
    entries = survey.measure(directions, replace(c.settings(), region=Region(), latents=0), step)
    studio.names[studio.names_key(layer.name, method)] = [entry.name for entry in entries]
    named, count = sum(entry.name != "unnamed" for entry in entries), survey.controls
    studio.notes.append(
        f"{named} of {len(entries)} stand out from {count} random directions at an RMS change of {survey.change}, "
        f"as a random one does once in {count + 1} times"
    )


def save(studio, step):
    """The sum of the shown layer's shifts as a file."""
    c = studio.controls
    name, others = c.name.value.strip(), c.elsewhere.values()
    settings = studio.settings(step)
    c.links.value, alpha = direction_link(studio.engine, settings, c.layer.value, name, step)
    whole = c.region.value == "everywhere" and c.site.value == "projections" and not any(map(any, others))
    more = "" if whole else ", without its region, site and other layers"
    studio.notes.append(f"saved {name}: the edit shown has alpha = {alpha:.3g} of it, {settings.injection}{more}")


def export_strip(studio, step):
    """Seven pictures from minus to plus the strengths shown."""
    c = studio.controls
    c.links.value = strip_link(studio.engine, studio.settings(step), c.name.value.strip(), step)
    studio.notes.append("the strip is ready, from minus to plus the strengths shown")


def check_model(model):
    """Raises ValueError for a model that the panel cannot show."""
    find_layers(model.unet)
    if model.picture_shape[0] != 3:
        channels = model.picture_shape[0]
        raise ValueError(f"{model.name} has {channels} channels: the studio needs pictures, which have 3.")
    if isinstance(model.unet, UNet2DConditionModel) and "encoder_hidden_states" not in model.unet_inputs:
        raise ValueError(f"{model.name} needs a condition: make a DiffusionModel with unet_inputs, for Studio(model).")
