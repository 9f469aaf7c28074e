"""The widgets of the studio, how they are laid out, and what they show; what they do is in helpers.studio."""

import ipywidgets

from helpers.editing import SITES
from helpers.studio.finder import AGREE_SEEDS, AGREE_SPAN, METHODS, SLIDERS
from helpers.studio.settings import SHAPES, Region, Settings

NARROW = {"description_width": "100px"}
CHANGE = "image change (RMS)"  # of pixels in [0, 1]
#: largest strength and step of the sliders, by injection in the unit alpha; in the other unit they are the same for all
RANGES = {"asymmetric": (12, 0.1), "symmetric": (40, 0.5), CHANGE: (0.2, 0.01)}
#: where the shift enters a DDIM step, as the panel says it
INJECTIONS = {"the predicted picture (asymmetric)": "asymmetric", "both parts (symmetric, as printed)": "symmetric"}
PASSES = 2 * AGREE_SPAN * len(AGREE_SEEDS)
METHOD_WORDS = {"agree": f"agree ({PASSES} passes, once; < 30 s on 2 cores)"}


class Controls:
    """Every control of the panel as an attribute; `panel` holds them all."""

    def __init__(self, models, layers, factors):
        choice, between = ipywidgets.Dropdown, ipywidgets.FloatRangeSlider
        self.model = choice(options=models, description="model", style=NARROW)
        self.layer = choice(options=layers, description="layer", style=NARROW)
        self.method = choice(options=_in_words(METHODS), value="refined", description="directions by", style=NARROW)
        self.source = choice(options=["sample", "upload"], description="picture", style=NARROW)
        self.seed = ipywidgets.BoundedIntText(value=0, min=0, max=10**6, description="seed", style=NARROW)
        self.new_sample = ipywidgets.Button(description="new sample")
        self.file = ipywidgets.FileUpload(accept=".png,.jpg,.jpeg,.webp", multiple=False, description="your picture")
        self.unit = choice(options=["alpha", CHANGE], description="strength in", style=NARROW)
        self.sliders = [self._slider() for _ in range(SLIDERS)]
        self.labels = [
            ipywidgets.Label(layout=ipywidgets.Layout(width="230px", margin="0 0 0 12px")) for _ in range(SLIDERS)
        ]
        self.reset = ipywidgets.Button(description="all to zero")
        self.measure = ipywidgets.Button(description="measure names")
        shares = {"min": 0, "max": 1, "step": 0.05, "style": NARROW, "continuous_update": False}
        self.window = between(value=(0.5, 0.8), description="window, t / T", **shares)
        self.injection = choice(options=list(INJECTIONS.items()), description="shift enters", style=NARROW)
        self.site = choice(options=SITES, description="shift at", style=NARROW)
        self.region = choice(options=[*SHAPES, *factors], description="region", style=NARROW)
        self.across = between(value=(0.25, 0.75), description="across", **shares)
        self.down = between(value=(0.25, 0.75), description="down", **shares)
        self.name = ipywidgets.Text(value="my-direction", description="name", style=NARROW)
        self.save = ipywidgets.Button(description="save direction")
        self.strip = ipywidgets.Button(description="export strip")
        self.load = ipywidgets.FileUpload(accept=".safetensors", multiple=False, description="load directions")
        self.links = ipywidgets.HTML()
        self.cancel = ipywidgets.Button(description="cancel")
        self.progress = ipywidgets.IntProgress(value=0, min=0, max=1, bar_style="info")
        self.status = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="4em"))  # room for two lines
        self.view = ipywidgets.HTML()
        self.upload = None  # key of the last picture of one's own, see `helpers.studio.engine.Engine.use`
        self.elsewhere = {}  # strengths of the layers that are not shown, which add up with those of the sliders
        self.panel = self._lay_out()

    @property
    def values(self):
        """The controls whose value decides the picture."""
        where = (self.window, self.injection, self.site, self.region, self.across, self.down)
        return (self.method, self.source, self.seed, *where, *self.sliders)

    @property
    def strengths(self):
        """{layer name: what its sliders show}, in the unit chosen."""
        return {**self.elsewhere, self.layer.value: [slider.value for slider in self.sliders]}

    def settings(self):
        """The `Settings` that the controls show, without strengths."""
        latents = self.upload if self.source.value == "upload" else int(self.seed.value)
        window, across, down = (
            tuple(round(share, 2) for share in control.value) for control in (self.window, self.across, self.down)
        )
        region = Region(self.region.value, across, down)
        return Settings({}, self.method.value, window, self.site.value, self.injection.value, region, latents)

    def change_layer(self, old, new):
        """Every layer keeps its own strengths; the sliders show those of the chosen one."""
        self.elsewhere[old] = [slider.value for slider in self.sliders]
        for slider, value in zip(self.sliders, self.elsewhere.pop(new, [0] * len(self.sliders))):
            slider.value = value

    def set_range(self):
        """Give the sliders the range that fits the unit and the injection; what lies outside moves to its end."""
        largest, step = RANGES[self.injection.value if self.unit.value == "alpha" else CHANGE]
        for name, values in self.elsewhere.items():
            self.elsewhere[name] = [max(-largest, min(largest, value)) for value in values]
        for slider in self.sliders:
            slider.min, slider.max, slider.step = -largest, largest, step

    def to_zero(self):
        """All strengths of all layers."""
        self.elsewhere.clear()
        for slider in self.sliders:
            slider.value = 0

    def offer(self, method):
        """Add a way of finding directions to the list."""
        known = [value for _, value in self.method.options]
        if method not in known:
            self.method.options = _in_words([*known, method])

    def label_sliders(self, values, names):
        """Index, eigenvalue and name of each direction, as far as they are known. values: (count,) or None."""
        for index, label in enumerate(self.labels):
            words = [str(index + 1)]
            if values is not None and index < len(values):
                words.append(f"eigenvalue {values[index]:.2f}")
            label.value = ", ".join([*words, *names[index : index + 1]])

    def close(self):
        """Take every widget away."""
        for widget in _with_children(self.panel):
            widget.close()

    def _slider(self):
        largest, step = RANGES["asymmetric"]
        layout = ipywidgets.Layout(width="300px")
        return ipywidgets.FloatSlider(
            value=0, min=-largest, max=largest, step=step, layout=layout, continuous_update=False
        )

    def _lay_out(self):
        row, column = ipywidgets.HBox, ipywidgets.VBox
        what = column([self.model, self.layer, self.method, self.unit, self.source])
        what.children += (self.seed, row([self.new_sample, self.file]))
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        rows = [row([label, slider], layout=wrap) for label, slider in zip(self.labels, self.sliders)]
        strengths = column([*rows, row([self.reset, self.measure])])
        running = column([row([self.cancel, self.progress]), self.status])
        where = column([self.window, self.injection, self.site, self.region, self.across, self.down])
        keep = column([self.name, row([self.save, self.strip, self.load], layout=wrap), self.links])
        more = ipywidgets.Accordion(children=[where, keep], selected_index=None)
        more.set_title(0, "When and where: window, where the shift enters, region")
        more.set_title(1, "Keep: save a direction, export a strip, load a file")
        return column([self.view, running, row([what, strengths], layout=wrap), more])


def _in_words(methods):
    return [(METHOD_WORDS.get(method, method), method) for method in methods]


def _with_children(widget):
    """A widget, its layout and style, and all that it holds."""
    yield widget
    yield from (part for part in (widget.layout, getattr(widget, "style", None)) if part is not None)
    for child in getattr(widget, "children", ()):
        yield from _with_children(child)
