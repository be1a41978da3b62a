"""How far the runs are: one bar over the epochs of all of them, from what their processes note in the store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from softmask.experiments import store
from softmask.experiments.plan import Planned

LOOK_EVERY = 1.0
DRAW_EVERY = 5.0
"""Seconds. Redrawn every few seconds only: an executed notebook keeps every line."""


@contextmanager
def watched(runs: Sequence[Planned], title: str) -> Iterator[Callable[[Planned], None]]:
    """Show the bar while the block runs. Gives the function to call with each run that has ended."""
    ended: set[Planned] = set()
    over = threading.Event()
    bar = tqdm(total=sum(run.spec.settings.epochs for run in runs), desc=title, unit="epoch", mininterval=DRAW_EVERY)

    def look() -> None:
        epochs = sum(run.spec.settings.epochs if run in ended else store.progress(run.folder) for run in runs)
        bar.set_postfix_str(f"{len(ended)} of {len(runs)} runs", refresh=False)
        bar.update(max(0, epochs - bar.n))

    def look_again() -> None:
        while not over.wait(LOOK_EVERY):
            look()

    thread = threading.Thread(target=look_again, daemon=True)
    thread.start()
    try:
        yield ended.add
    finally:
        over.set()
        thread.join()
        look()
        bar.close()
