"""Table of the sources of data sets (needed files, how to get them, reader), and registry of simulated data sets.

Nothing here reads an image. Simulated data sets come from the package ``phantoms`` beside softmask. No module imports
it directly: it is imported by name when the first simulated data set is opened, and registers these data sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from softmask.errors import ConfigError

if TYPE_CHECKING:
    from softmask.data.sample import Dataset

NAMES = ("lidc", "lnsm", "isbi2012", "promise12", "lidc-lung", "qin-lung")
"""Data sets of the experiments. Each is read from one of :data:`SOURCES`, or is embedded."""

_SIMULATED: dict[str, Callable[[str], Dataset]] = {}


class GitFolder(NamedTuple):
    """Folder of a public git repository at a pinned commit (its full 40-digit id, which verifies the content)."""

    url: str
    commit: str
    folder: str


class ZipArchive(NamedTuple):
    """Public zip archive, unpacked to ``folder`` below the folder of its source.

    ``size`` in bytes and ``sha256`` verify the content. Where they are unknown (None), the checksums of the members
    show damage, but not a different content.
    """

    url: str
    folder: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """Source of stored images: a public data set, or the user's own images.

    Attributes:
        name, title: name on the command line, and proper name.
        layout: needed files, in words.
        reader: ``module:class`` below :mod:`softmask.data`; the class takes the path and the data set's name.
        licence, place, steps: terms of publication, address for a download by hand, and the steps to take there.
        serves: names of :data:`NAMES` and :data:`REAL_ONLY` that it can be used for; its own name if none are given.
        folder: folder below the data root; the name of the source if none is given.
        needs: patterns below the data root, of which one must match. All parts of a pattern that are joined by ``+``
            must match. If none are given, the folder must not be empty.
        git, archives: sources for `softmask data fetch`, one or the other; None and empty if it cannot be fetched.
        simulated: subfolder that exists only if the images are simulated; empty if they never are.
    """

    name: str
    title: str
    layout: str
    reader: str
    licence: str = ""
    place: str = ""
    steps: str = ""
    serves: tuple[str, ...] = ()
    folder: str = ""
    needs: tuple[str, ...] = ()
    git: GitFolder | None = None
    archives: tuple[ZipArchive, ...] = ()
    simulated: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "serves", self.serves or (self.name,))
        object.__setattr__(self, "folder", self.folder or self.name)

    @property
    def public(self) -> bool:
        """Whether ``softmask data fetch`` can get it."""
        return self.git is not None or bool(self.archives)

    def locate(self, root: Path) -> Path | None:
        """Return the folder or archive under ``root``, or None.

        If several paths other than the folder match, return ``root``, so that all of them are searched.
        """
        for pattern in self.needs or (f"{self.folder}/*",):
            matches = [list(root.glob(part)) for part in pattern.split("+")]
            if all(matches):
                if pattern.startswith(f"{self.folder}/") and not pattern.endswith(".zip"):
                    return root / self.folder
                return matches[0][0] if len(matches[0]) == 1 else root
        return None

    def missing(self, root: Path) -> str | None:
        """Return a message about what is missing and how to get it; None if nothing is missing."""
        if self.locate(root) is not None:
            return None
        folder = root / self.folder
        if folder.is_dir() and any(folder.iterdir()):
            return f"{folder} is there, and what is expected in it is missing: {self.layout}: {self.how_to_get(root)}"
        return f"{self.title} is not there: {self.how_to_get(root)}"

    def how_to_get(self, root: Path) -> str:
        """Return one sentence: the command or the address, and the folder the files go to."""
        destination = f"{root / self.folder} ({self.layout})"
        if self.public:
            return f"run `softmask data fetch {self.name}` (from {self.place}); it goes to {destination}"
        if not self.place:
            return f"put your own into {destination}"
        return f"{self.steps}, from {self.place}; it goes to {destination}"


_GITHUB = "https://github.com/"
_TCIA = "https://www.cancerimagingarchive.net/collection/"
_RETRIEVE = "download the images with the NBIA Data Retriever"
_LIDC = "CC BY 3.0 (LIDC-IDRI, TCIA)"
_PROMISE12 = "https://zenodo.org/records/8026660"
_SCANS = (
    "a folder for each scan, with its CT series in DICOM (or .nrrd, .nii.gz) and, where there is one, its lung mask: "
    "RTSTRUCT, DICOM SEG, .nrrd or .nii.gz"
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "deeplesion",
            "DeepLesion",
            "Images_png/<patient>_<study>_<series>/<slice>.png and DL_info.csv",
            "deeplesion:DeepLesion",
            licence="free for research, credit to NIH (Yan et al. 2018)",
            place="https://nihcc.app.box.com/v/DeepLesion",
            steps="download DL_info.csv and the Images_png archives and unpack them",
            serves=("lnsm",),
            needs=("deeplesion/Images_png/+deeplesion/DL_info.csv",),
        ),
        Source(
            "lidc",
            "LIDC-IDRI-slices",
            "<patient>/nodule-<n>/{images,mask-0,...,mask-3}/slice-<k>.png; LIDC-IDRI-slices.zip beside it also does",
            "lidc:LidcSlices",
            licence=_LIDC,
            place=f"{_GITHUB}periclesanfe/Pulmoseg",
            serves=("lidc", "lnsm"),
            folder="LIDC-IDRI-slices",
            needs=("LIDC-IDRI-slices/", "LIDC-IDRI-slices.zip"),
            git=GitFolder(
                f"{_GITHUB}periclesanfe/Pulmoseg", "045c0c6b793191819d964d0f7862124731559d42", "LIDC-IDRI-slices"
            ),
        ),
        Source(
            "lidc-dicom",
            "LIDC-IDRI CT series",
            "*.dcm in any folders below, with or without their annotation XML",
            "lidc_dicom:LidcDicom",
            licence=_LIDC,
            place=f"{_TCIA}lidc-idri/",
            steps=_RETRIEVE,
            serves=("lidc", "lnsm"),
            folder="LIDC-IDRI",
            needs=("LIDC-IDRI/", "lidc-idri-*/"),
        ),
        Source(
            "isbi2012",
            "ISBI 2012 EM segmentation challenge",
            "train/image/<i>.png with train/label/<i>.png, or train-volume.tif with train-labels.tif",
            "isbi2012:Isbi2012",
            licence="challenge data, for research (Cardona et al. 2010)",
            place=f"{_GITHUB}zhixuhao/unet",
            # images or labels alone are enough to open it: the reader then names the missing files
            needs=tuple(f"isbi2012/train{half}" for half in ("/image", "/label", "-volume.tif", "-labels.tif")),
            git=GitFolder(f"{_GITHUB}zhixuhao/unet", "b45af4d458437d8281cc218a07fd4380818ece4a", "data/membrane"),
        ),
        Source(
            "promise12",
            "PROMISE12 challenge data",
            "CaseNN.mhd, CaseNN.raw, CaseNN_segmentation.mhd, CaseNN_segmentation.raw; the challenge's test cases in a "
            "folder with test in its name",
            "promise12:Promise12",
            licence="challenge data, for research, to be cited (Litjens et al. 2014)",
            place=_PROMISE12,
            needs=("promise12/**/Case*.mhd",),
            archives=(
                ZipArchive(
                    f"{_PROMISE12}/files/training_data.zip?download=1",
                    "training",
                    323_664_221,
                    "150287d0c74cd0105d8b70b43af4a7bf4f1fd3e1748829779177a0ccaf948f45",
                ),
                # no checksum of this archive is known
                ZipArchive(f"{_PROMISE12}/files/test_data.zip?download=1", "test"),
            ),
        ),
        Source(
            "lidc-lung",
            "LIDC-IDRI chest CT with lung masks",
            _SCANS,
            "lung_ct:LungCt",
            licence=_LIDC,
            place=f"{_TCIA}lidc-idri/",
            steps=_RETRIEVE,
            needs=("lidc-lung/*/",),
        ),
        Source(
            "qin-lung",
            "QIN LUNG CT with lung masks",
            _SCANS,
            "lung_ct:LungCt",
            licence="CC BY 3.0 (QIN LUNG CT, TCIA)",
            place=f"{_TCIA}qin-lung-ct/",
            steps=_RETRIEVE,
            needs=("qin-lung/*/",),
        ),
        Source(
            "lung-ct",
            "chest CT of your own, or of a public collection such as NSCLC-Radiomics",
            _SCANS,
            "lung_ct:LungCt",
            licence="that of the scans",
            place=f"{_TCIA}nsclc-radiomics/",
            steps="put a few scans there, of your own or",
            needs=("lung-ct/*/",),
        ),
        Source(
            "lungs",
            "Finding and Measuring Lungs in CT Data",
            "2d_images/ID_0001_Z_0146.tif with 2d_masks/ID_0001_Z_0146.tif; or finding-lungs-in-ct.zip of them",
            "finding_lungs:FindingLungs",
            licence="not stated where it was got; not to be redistributed",
            place=f"{_GITHUB}lizoyu/Lung-CT-segmentation",
            serves=("lungs-2d",),
            folder="finding-lungs-in-ct",
            needs=tuple(f"finding-lungs-in-ct/{x}" for x in ("2d_images/", "2d_masks/", "finding-lungs-in-ct.zip")),
            git=GitFolder(f"{_GITHUB}lizoyu/Lung-CT-segmentation", "58860fd2a8944fc6c1fb95fe24c387151f3d37f8", "data"),
        ),
        Source(
            "soft-lidc",
            "Soft-LIDC",
            "the exported folder, with slices.csv and SHA256SUMS",
            "soft_lidc:SoftLidc",
            licence=_LIDC,
            place="the data set lidc, real or embedded",
            steps="make it with `softmask data export soft-lidc --out FOLDER`",
            needs=("soft-lidc/slices.csv",),
            simulated="soft-true",
        ),
    )
}
"""Sources of stored images, by name; the first that is there is used: for ``lnsm`` DeepLesion before LIDC."""

REAL_ONLY = tuple(name for source in SOURCES.values() for name in source.serves if name not in NAMES)
"""Data sets of stored images only, which appear in no table: scans for trying a network that was trained on other data,
Soft-LIDC (whose images may be simulated), and data sets of sources that a user adds to :data:`SOURCES`."""


def sources_of(name: str) -> tuple[Source, ...]:
    """Return the sources that can be used for data set ``name``, in the order of :data:`SOURCES`."""
    if name not in (*NAMES, *REAL_ONLY):
        raise ConfigError(f"unknown data set {name!r}; choose one of {', '.join((*NAMES, *REAL_ONLY))}")
    return tuple(source for source in SOURCES.values() if name in source.serves)


def locate_source(name: str, root: Path, data: str = "auto") -> tuple[Source, Path] | None:
    """Return the first source of data set ``name`` that is there under ``root``, and its path; None if there is none,
    or if its images are not of the kind ``data``: ``real``, ``embedded`` (simulated), or ``auto`` (either)."""
    for source in sources_of(name):
        path = source.locate(root)
        if path is not None:
            kind = "embedded" if source.simulated and (path / source.simulated).is_dir() else "real"
            return (source, path) if data in ("auto", kind) else None
    return None


def real_paths(root: str | Path) -> dict[str, Path]:
    """Return the folder or archive of each data set with real data under ``root``."""
    locations = {name: locate_source(name, Path(root), "real") for name in (*NAMES, *REAL_ONLY)}
    return {name: location[1] for name, location in locations.items() if location}


def register(name: str, dataset: Callable[[str], Dataset]) -> None:
    """Make ``dataset(name)`` the simulated data set ``name``."""
    _SIMULATED[name] = dataset


def open_simulated(name: str) -> Dataset:
    """Return the simulated data set ``name``. It is the same in every profile; callers choose the samples they use.

    Raises:
        ConfigError: for a name that is not registered.
    """
    import_module("phantoms")
    if name not in _SIMULATED:
        raise ConfigError(f"there is no embedded data set {name!r}; choose one of {', '.join(_SIMULATED)}")
    return _SIMULATED[name](name)
