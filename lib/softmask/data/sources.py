"""Where each data set comes from, which folder it goes to, and what of it is there.

Nothing here reads an image: :func:`found` looks at names of files and folders alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from softmask.errors import ConfigError

NAMES = ("lidc", "lnsm", "isbi2012", "promise12", "lidc-lung", "qin-lung")
"""The data sets of the experiments. Each is made of one of :data:`SOURCES`, or is embedded."""

REAL_ONLY = ("lung-ct",)
"""Data sets of real images only, in no table: scans to try a network on that was trained on others."""


@dataclass(frozen=True)
class GitFolder:
    """One folder of a public git repository at a pinned commit (its full 40-digit id, which verifies the content)."""

    url: str
    commit: str
    folder: str


@dataclass(frozen=True)
class Source:
    """A public data set on real images.

    Attributes:
        name: what the command line calls it.
        title: its proper name.
        serves: the names of :data:`NAMES` and :data:`REAL_ONLY` it can stand for.
        folder: where it goes, below the data root.
        layout: what must lie there, in words.
        licence: terms it is published under.
        place: address to get it from by hand.
        steps: what to do there; empty where ``git`` fetches it.
        git: how to fetch it without registration, or None.
        locate: path of what is there under a data root, or None.
    """

    name: str
    title: str
    serves: tuple[str, ...]
    folder: str
    layout: str
    licence: str
    place: str
    steps: str
    git: GitFolder | None
    locate: Callable[[Path], Path | None]

    def missing(self, root: Path) -> str | None:
        """None when it is there; else, in words, that it is not, or that its folder lacks what belongs in it."""
        if self.locate(root) is not None:
            return None
        folder = root / self.folder
        if folder.is_dir() and any(folder.iterdir()):
            return f"{folder} is there, and lacks what is expected in it: {self.layout}"
        return f"{self.title} is not there"

    def how_to_get(self, root: Path) -> str:
        """One sentence: the command or the address, and the folder the files go to."""
        where = f"{root / self.folder} ({self.layout})"
        if self.git:
            return f"run `softmask data fetch {self.name}` (from {self.place}); it goes to {where}"
        return f"{self.steps}, from {self.place}; it goes to {where}"


def _lidc_slices(root: Path) -> Path | None:
    folder, archive = root / "LIDC-IDRI-slices", root / "LIDC-IDRI-slices.zip"
    return folder if folder.is_dir() else archive if archive.is_file() else None


def _lidc_dicom(root: Path) -> Path | None:
    if (root / "LIDC-IDRI").is_dir():
        return root / "LIDC-IDRI"
    scans = [path for path in root.glob("lidc-idri-*") if path.is_dir()]
    # of several such folders none may be passed over: the reader then searches the whole root for series it knows
    return None if not scans else scans[0] if len(scans) == 1 else root


def _isbi2012(root: Path) -> Path | None:
    folder = root / "isbi2012"
    # one half is enough to count as there: the reader then says what the other half lacks
    parts = ("train/image", "train/label", "train-volume.tif", "train-labels.tif")
    return folder if any((folder / part).exists() for part in parts) else None


def _promise12(root: Path) -> Path | None:
    folder = root / "promise12"
    return folder if any(folder.rglob("Case*.mhd")) else None


def _deeplesion(root: Path) -> Path | None:
    folder = root / "deeplesion"
    return folder if (folder / "Images_png").is_dir() and (folder / "DL_info.csv").is_file() else None


def _scans(folder: str) -> Callable[[Path], Path | None]:
    """Finds a folder that holds a folder for each scan."""

    def locate(root: Path) -> Path | None:
        path = root / folder
        return path if path.is_dir() and any(one.is_dir() for one in path.iterdir()) else None

    return locate


_LUNG_LAYOUT = (
    "a folder for each scan, with its CT series in DICOM (or .nrrd, .nii.gz) and, where there is one, its lung mask: "
    "RTSTRUCT, DICOM SEG, .nrrd or .nii.gz"
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "lidc",
            "LIDC-IDRI-slices",
            ("lidc", "lnsm"),
            "LIDC-IDRI-slices",
            "<patient>/nodule-<n>/{images,mask-0,...,mask-3}/slice-<k>.png; LIDC-IDRI-slices.zip beside it also does",
            "CC BY 3.0 (LIDC-IDRI, TCIA)",
            "https://github.com/periclesanfe/Pulmoseg",
            "",
            GitFolder(
                "https://github.com/periclesanfe/Pulmoseg",
                "045c0c6b793191819d964d0f7862124731559d42",
                "LIDC-IDRI-slices",
            ),
            _lidc_slices,
        ),
        Source(
            "lidc-dicom",
            "LIDC-IDRI CT series",
            ("lidc", "lnsm"),
            "LIDC-IDRI",
            "*.dcm in any folders below, with or without their annotation XML",
            "CC BY 3.0 (LIDC-IDRI, TCIA)",
            "https://www.cancerimagingarchive.net/collection/lidc-idri/",
            "download the images with the NBIA Data Retriever",
            None,
            _lidc_dicom,
        ),
        Source(
            "isbi2012",
            "ISBI 2012 EM segmentation challenge",
            ("isbi2012",),
            "isbi2012",
            "train/image/<i>.png with train/label/<i>.png, or train-volume.tif with train-labels.tif",
            "challenge data, for research (Cardona et al. 2010)",
            "https://github.com/zhixuhao/unet",
            "",
            GitFolder("https://github.com/zhixuhao/unet", "b45af4d458437d8281cc218a07fd4380818ece4a", "data/membrane"),
            _isbi2012,
        ),
        Source(
            "promise12",
            "PROMISE12 challenge training data",
            ("promise12",),
            "promise12",
            "CaseNN.mhd, CaseNN.raw, CaseNN_segmentation.mhd, CaseNN_segmentation.raw",
            "challenge data, for research, after registration (Litjens et al. 2014)",
            "https://promise12.grand-challenge.org",
            "register, download the training data and unpack it",
            None,
            _promise12,
        ),
        Source(
            "deeplesion",
            "DeepLesion",
            ("lnsm",),
            "deeplesion",
            "Images_png/<patient>_<study>_<series>/<slice>.png and DL_info.csv",
            "free for research, credit to NIH (Yan et al. 2018)",
            "https://nihcc.app.box.com/v/DeepLesion",
            "download DL_info.csv and the Images_png archives and unpack them",
            None,
            _deeplesion,
        ),
        Source(
            "lidc-lung",
            "LIDC-IDRI chest CT with lung masks",
            ("lidc-lung",),
            "lidc-lung",
            _LUNG_LAYOUT,
            "CC BY 3.0 (LIDC-IDRI, TCIA)",
            "https://www.cancerimagingarchive.net/collection/lidc-idri/",
            "download the images with the NBIA Data Retriever",
            None,
            _scans("lidc-lung"),
        ),
        Source(
            "qin-lung",
            "QIN LUNG CT with lung masks",
            ("qin-lung",),
            "qin-lung",
            _LUNG_LAYOUT,
            "CC BY 3.0 (QIN LUNG CT, TCIA)",
            "https://www.cancerimagingarchive.net/collection/qin-lung-ct/",
            "download the images with the NBIA Data Retriever",
            None,
            _scans("qin-lung"),
        ),
        Source(
            "lung-ct",
            "chest CT of your own, or of a public collection such as NSCLC-Radiomics",
            ("lung-ct",),
            "lung-ct",
            _LUNG_LAYOUT,
            "that of the scans",
            "https://www.cancerimagingarchive.net/collection/nsclc-radiomics/",
            "put a few scans there, of your own or",
            None,
            _scans("lung-ct"),
        ),
    )
}

_PREFERENCE: dict[str, tuple[str, ...]] = {
    "lidc": ("lidc", "lidc-dicom"),
    "lnsm": ("deeplesion", "lidc", "lidc-dicom"),
    "isbi2012": ("isbi2012",),
    "promise12": ("promise12",),
    "lidc-lung": ("lidc-lung",),
    "qin-lung": ("qin-lung",),
    "lung-ct": ("lung-ct",),
}
"""For each data set, the sources that can stand for it, the better one first."""


def sources_of(name: str) -> tuple[Source, ...]:
    """The sources that can serve data set ``name``, the preferred one first."""
    if name not in _PREFERENCE:
        raise ConfigError(f"unknown data set {name!r}; choose one of {', '.join(_PREFERENCE)}")
    return tuple(SOURCES[source] for source in _PREFERENCE[name])


def located(name: str, root: Path) -> tuple[Source, Path] | None:
    """The source that serves data set ``name`` under ``root`` and its path; None when there is none."""
    for source in sources_of(name):
        path = source.locate(root)
        if path is not None:
            return source, path
    return None


def found(root: str | Path) -> dict[str, Path]:
    """For each data set with real data under ``root``, the folder or archive that serves it; empty when nothing is.

    ``lnsm`` is served by DeepLesion, else by LIDC (RECIST axes of patients that ``lidc`` does not use).
    """
    places = {name: located(name, Path(root)) for name in _PREFERENCE}
    return {name: place[1] for name, place in places.items() if place}


def how_to_get(name: str, root: Path) -> str:
    """For people: what of data set ``name`` is missing, every way to get it, and the folder it goes to."""
    ways = [(source.missing(root), source.how_to_get(root)) for source in sources_of(name)]
    return "; or ".join(f"{missing}: {way}" for missing, way in ways if missing)
