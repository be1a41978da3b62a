"""Widgets of the bench: a mark to drag, sliders over :mod:`softmask.analysis.explore`, pictures and a line of code."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping

import anywidget
import ipywidgets as widgets
import numpy as np
import traitlets

from softmask.analysis import explore
from softmask.analysis.explore import Setting, Step
from softmask.data.sample import Sample
from softmask.errors import SoftmaskError
from softmask.papers import display
from softmask.report import panels

RADII = {"automatic": 0.0} | {f"{radius:g} px": radius for radius in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)}
"""Radii of the trimap to choose from; 0 stands for None, which a selection cannot hold."""


NEAR = 4.0
"""Distance from an end of the mark, in pixels, within which a drag moves that end."""


class Picture(anywidget.AnyWidget):
    """Picture that reports where a pointer drags over it.

    ``png`` is the image file. The page sets ``drag``: 1 at the start of a drag, else 0, and the position as shares of
    width and height from the top left corner. ``answers`` counts the handled moves; the page waits for each of them.
    """

    _esm = """
    export default { render({ model, el }) {
      const image = document.createElement("img");
      image.draggable = false;
      image.alt = "nodule with its mark, trimap, alpha and outlines";
      image.style.cssText = "max-width: 100%; touch-action: none; cursor: crosshair";
      let held = false, waiting = false;
      const show = () => {
        URL.revokeObjectURL(image.src);
        image.src = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
      };
      const tell = (event, first) => {
        const box = image.getBoundingClientRect();
        const drag = [first, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
        if (String(drag) === String(model.get("drag"))) return;  // nothing would be sent, and no answer would come
        waiting = true;
        model.set("drag", drag);
        model.save_changes();
      };
      image.addEventListener("pointerdown", event => {
        if (event.button) return;
        held = true;
        image.setPointerCapture(event.pointerId);
        tell(event, 1);
      });
      image.addEventListener("pointermove", event => { if (held && !waiting) tell(event, 0); });
      image.addEventListener("pointerup", event => { if (held) tell(event, 0); held = false; });
      image.addEventListener("pointercancel", () => { held = false; });
      const answered = () => { waiting = false; };
      model.on("change:png", show);
      model.on("change:answers", answered);
      show();
      el.appendChild(image);
      return () => {
        model.off("change:png", show);
        model.off("change:answers", answered);
        URL.revokeObjectURL(image.src);
      };
    } };
    """
    png = traitlets.Bytes().tag(sync=True)
    drag = traitlets.List(traitlets.Float(), [0.0, 0.0, 0.0]).tag(sync=True)
    answers = traitlets.Int().tag(sync=True)


def is_interactive(asked: bool | None = None) -> bool:
    """Return whether a notebook should show sliders.

    A Jupyter server names the session to each kernel that it starts for a page (``JPY_SESSION_NAME``); papermill, nbval
    and ``jupyter execute`` start kernels without one. In other environments, ``asked`` has to decide.
    """
    return "JPY_SESSION_NAME" in os.environ if asked is None else asked


class Bench(widgets.VBox):
    """Mark whose ends are dragged on the picture, with sliders for the ends, trimap radius, epsilon and threshold; the
    result is drawn and measured immediately.

    Every control can be reached with the Tab key; the left and right keys move sliders.

    Args:
        nodules: samples to choose from, by name, with up to a few hundred pixels per side.
    """

    def __init__(self, nodules: Mapping[str, Sample]) -> None:
        theme = {"style": {"description_width": "7.5em"}, "layout": widgets.Layout(width="23em")}

        def slider(name: str, low: float, high: float, step: float, readout: str) -> widgets.FloatSlider:
            options = {"step": step, "description": name, "readout_format": readout, **theme}
            return widgets.FloatSlider(value=low, min=low, max=high, **options)

        self._nodules, self._strip, self._quiet = dict(nodules), explore.Strip(), True
        # no drop-down list: JupyterLab takes the up and down keys for itself
        names = [(display("rows", name), name) for name in self._nodules]
        self.nodule = widgets.ToggleButtons(options=names, style={"button_width": "auto"})
        self.again = widgets.Button(description="Reset", icon="undo", tooltip="the nodule's own mark, usual settings")
        names = [f"end {end}, {name}" for end in (1, 2) for name in ("row", "column")]
        self.ends = [slider(name, 0, explore.SIZE - 1, 0.5, ".1f") for name in names * 2]  # axis, end, (row, column)
        self.radius = widgets.SelectionSlider(options=list(RADII.items()), description="trimap radius", **theme)
        options = {"step": 0.5, "description": "epsilon", "readout_format": ".1e", **theme}
        self.epsilon = widgets.FloatLogSlider(value=1e-7, min=-9, max=0, **options)
        self.threshold = slider("threshold", 0.05, 0.95, 0.05, ".2f")
        self.picture, self._held = Picture(), None
        self.measured, self.line = widgets.HTML(), widgets.HTML()
        groups = {
            "long axis": (explore.AXES[0], self.ends[:4]),
            "short axis": (explore.AXES[1], self.ends[4:]),
            "trimap, matting, cut": ("transparent", [self.radius, self.epsilon, self.threshold]),
        }
        boxes = []
        for name, (color, controls) in groups.items():
            for control in controls:
                control.observe(self._changed, "value")
            style = f"border-left: 0.4em solid {color}; padding-left: 0.4em"
            boxes.append(widgets.VBox([widgets.HTML(f'<span style="{style}"><b>{name}</b></span>'), *controls]))
        self.nodule.observe(lambda change: self.reset(), "value")
        self.again.on_click(lambda button: self.reset())
        self.picture.observe(lambda change: self._dragged(*change["new"]), "drag")
        # controls beside the picture, so that everything fits on a screen of 1,280 x 800 pixels
        controls = widgets.VBox(boxes, layout=widgets.Layout(flex="0 0 auto"))
        body = widgets.HBox([controls, self.picture], layout=widgets.Layout(align_items="flex-start"))
        head = widgets.HBox([self.nodule, self.again])
        super().__init__([head, body, self.measured, self.line])
        self.reset()

    @property
    def sample(self) -> Sample:
        """Chosen nodule."""
        return self._nodules[self.nodule.value]

    @property
    def setting(self) -> Setting:
        """Values of the sliders, rounded so that the line of code gives the same result."""
        # sliders in a page may return 34.99999999999999 for 35
        recist = np.array([slider.value for slider in self.ends]).reshape(2, 2, 2).round(2)
        epsilon, threshold = float(f"{self.epsilon.value:.3g}"), round(self.threshold.value, 2)
        return Setting(recist, self.radius.value or None, epsilon, threshold)

    def reset(self) -> None:
        """Reset all sliders to the start of the chosen nodule (:func:`softmask.analysis.explore.start`)."""
        setting = explore.start(self.sample)
        self._quiet = True  # draw once for all sliders
        sizes = self.sample.image.shape * 4
        for slider, value, size in zip(self.ends, setting.recist.ravel().tolist(), sizes, strict=True):
            slider.max = size - 1
            slider.value = value
        self.radius.value = setting.radius or 0.0
        self.epsilon.value, self.threshold.value = setting.epsilon, setting.threshold
        self._quiet = False
        self._changed()

    def _dragged(self, first: float, x: float, y: float) -> None:
        """Move the end of the mark nearest to the start of the drag, in steps of half a pixel."""
        self.picture.answers += 1
        point = self._strip.at(x, y) + [window.start for window in explore.view_of(self.sample)]
        if first:
            distances = np.linalg.norm(self.setting.recist.reshape(4, 2) - point, axis=1)
            self._held = int(distances.argmin()) if distances.min() <= NEAR else None
        if self._held is None:
            return
        self._quiet = True  # draw once for both sliders
        for slider, value in zip(self.ends[2 * self._held : 2 * self._held + 2], np.round(2 * point) / 2, strict=True):
            slider.value = min(max(value, slider.min), slider.max)
        self._quiet = False
        self._changed()

    def _changed(self, change: object = None) -> None:
        if self._quiet:
            return
        setting, step = self.setting, None
        try:
            step = explore.step(self.sample, setting)
            self.measured.value = _measures(self.sample, step)
        except SoftmaskError as error:
            self.measured.value = f"<b>No soft mask:</b> {html.escape(str(error))}"
        self.picture.png = self._strip.png(explore.pictures(self.sample, setting, step))
        code = f"image = nodules[{self.nodule.value!r}].image\n{explore.code(setting)}"
        self.line.value = f"<pre>{html.escape(code)}</pre>"


def _measures(sample: Sample, step: Step) -> str:
    """Return HTML: Dice with each reference, in outline colours; unknown trimap pixels; the error where known."""
    colors = [explore.CUT, *(panels.DOCTORS[i] for i in np.flatnonzero(sample.present)), "transparent"]
    names = ["Dice of the cut with", *step.dice]
    values = ["", *(f"{value:.3f}" for value in step.dice.values())]
    cells = [
        f'<td style="border-left: 0.5em solid {color}; padding: 0 1.2em 0 0.4em">{name}<br><b>{value}</b></td>'
        for name, value, color in zip(names, values, colors, strict=True)
    ]
    remarks = [f"{int((step.result.trimap == 0.5).sum())} pixels of the trimap are unknown"]
    if step.error is not None:
        remarks.append(f"mean absolute error of alpha round the true edge {step.error:.3f}")
    return f"<table><tr>{''.join(cells)}</tr></table>{'; '.join(remarks)}. {html.escape(sample.id)}"
