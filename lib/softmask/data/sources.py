"""Sources of the data sets: address, folder, reader, and whether their files are there.

Nothing here reads an image: :func:`found` looks at names of files and folders alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from softmask.errors import ConfigError

NAMES = ("lidc", "lnsm", "isbi2012", "promise12", "lidc-lung", "qin-lung")
"""The data sets of the experiments. Each is made of one of :data:`SOURCES`, or is embedded."""


@dataclass(frozen=True)
class GitFolder:
    """Folder of a public git repository at a pinned commit (its full 40-digit id, which verifies the content)."""

    url: str
    commit: str
    folder: str


@dataclass(frozen=True)
class ZipArchive:
    """Public zip archive, unpacked to ``folder`` below that of its source.

    ``size`` in bytes and ``sha256`` verify the content. Where they are not known (None), its length must be the one
    that the server tells and every member must fit its own checksum: that tells damage, but not another content.
    """

    url: str
    folder: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """Public data set of real images, or images of one's own.

    Attributes:
        name: what the command line calls it.
        title: its proper name.
        layout: what must lie there, in words.
        reader: ``module:class`` below :mod:`softmask.data`; the class takes the path and the data set's name.
        licence: terms it is published under; empty for images of one's own.
        place: address to get it from by hand; empty for images of one's own.
        steps: what to do there; empty where it can be fetched.
        serves: the names of :data:`NAMES` and :data:`REAL_ONLY` it can stand for; its own where none are given.
        folder: where it goes, below the data root; that of its name where none is given.
        git, archives: where `softmask data fetch` gets it from, one or the other; None and empty where it cannot.
        locate: path of what is there under a data root, or None; where none is given, the folder with anything in it.
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
    git: GitFolder | None = None
    archives: tuple[ZipArchive, ...] = ()
    locate: Callable[[Path], Path | None] | None = None

    def __post_init__(self) -> None:
        defaults = {"serves": (self.name,), "folder": self.name, "locate": self._filled}
        for field, default in defaults.items():
            object.__setattr__(self, field, getattr(self, field) or default)

    @property
    def public(self) -> bool:
        """Whether ``softmask data fetch`` gets it."""
        return self.git is not None or bool(self.archives)

    def _filled(self, root: Path) -> Path | None:
        folder = root / self.folder
        return folder if folder.is_dir() and any(folder.iterdir()) else None

    def missing(self, root: Path) -> str | None:
        """Return None when it is there; else, in words, that it, or the expected content of its folder, is missing."""
        if self.locate(root) is not None:
            return None
        folder = root / self.folder
        if folder.is_dir() and any(folder.iterdir()):
            return f"{folder} is there, and lacks what is expected in it: {self.layout}"
        return f"{self.title} is not there"

    def how_to_get(self, root: Path) -> str:
        """Return one sentence: the command or the address, and the folder the files go to."""
        where = f"{root / self.folder} ({self.layout})"
        if self.public:
            return f"run `softmask data fetch {self.name}` (from {self.place}); it goes to {where}"
        if not self.place:
            return f"put your own into {where}"
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


def _folder(name: str, *patterns: str, need: Callable = any) -> Callable[[Path], Path | None]:
    """Return a function that finds the folder ``name`` where one of the patterns, or ``all`` of them, match in it."""

    def locate(root: Path) -> Path | None:
        folder = root / name
        return folder if need(any(True for _ in folder.glob(pattern)) for pattern in patterns) else None

    return locate


def _finding_lungs(root: Path) -> Path | None:
    archive = root / "finding-lungs-in-ct" / "finding-lungs-in-ct.zip"
    # one half is enough to count as there: the reader then says that the other half is missing
    folder = _folder("finding-lungs-in-ct", "2d_images/", "2d_masks/")(root)
    return folder or (archive if archive.is_file() else None)


_TCIA = "https://www.cancerimagingarchive.net/collection/"
_RETRIEVE = "download the images with the NBIA Data Retriever"


def _scans(name: str, title: str, licence: str, collection: str, steps: str = _RETRIEVE) -> Source:
    """Source of whole scans with lung masks."""
    return Source(
        name,
        title,
        "a folder for each scan, with its CT series in DICOM (or .nrrd, .nii.gz) and, where there is one, its lung "
        "mask: RTSTRUCT, DICOM SEG, .nrrd or .nii.gz",
        "lung_ct:LungCt",
        licence=licence,
        place=f"{_TCIA}{collection}/",
        steps=steps,
        locate=_folder(name, "*/"),
    )


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "lidc",
            "LIDC-IDRI-slices",
            "<patient>/nodule-<n>/{images,mask-0,...,mask-3}/slice-<k>.png; LIDC-IDRI-slices.zip beside it also does",
            "lidc:LidcSlices",
            licence="CC BY 3.0 (LIDC-IDRI, TCIA)",
            place="https://github.com/periclesanfe/Pulmoseg",
            serves=("lidc", "lnsm"),
            folder="LIDC-IDRI-slices",
            git=GitFolder(
                "https://github.com/periclesanfe/Pulmoseg",
                "045c0c6b793191819d964d0f7862124731559d42",
                "LIDC-IDRI-slices",
            ),
            locate=_lidc_slices,
        ),
        Source(
            "lidc-dicom",
            "LIDC-IDRI CT series",
            "*.dcm in any folders below, with or without their annotation XML",
            "lidc_dicom:LidcDicom",
            licence="CC BY 3.0 (LIDC-IDRI, TCIA)",
            place=f"{_TCIA}lidc-idri/",
            steps=_RETRIEVE,
            serves=("lidc", "lnsm"),
            folder="LIDC-IDRI",
            locate=_lidc_dicom,
        ),
        Source(
            "isbi2012",
            "ISBI 2012 EM segmentation challenge",
            "train/image/<i>.png with train/label/<i>.png, or train-volume.tif with train-labels.tif",
            "isbi2012:Isbi2012",
            licence="challenge data, for research (Cardona et al. 2010)",
            place="https://github.com/zhixuhao/unet",
            git=GitFolder(
                "https://github.com/zhixuhao/unet", "b45af4d458437d8281cc218a07fd4380818ece4a", "data/membrane"
            ),
            # one half is enough to count as there: the reader then names the missing half
            locate=_folder("isbi2012", "train/image", "train/label", "train-volume.tif", "train-labels.tif"),
        ),
        Source(
            "promise12",
            "PROMISE12 challenge data",
            "CaseNN.mhd, CaseNN.raw, CaseNN_segmentation.mhd, CaseNN_segmentation.raw; the challenge's test cases in a "
            "folder with test in its name",
            "promise12:Promise12",
            licence="challenge data, for research, to be cited (Litjens et al. 2014)",
            place="https://zenodo.org/records/8026660",
            archives=(
                ZipArchive(
                    "https://zenodo.org/records/8026660/files/training_data.zip?download=1",
                    "training",
                    323_664_221,
                    "150287d0c74cd0105d8b70b43af4a7bf4f1fd3e1748829779177a0ccaf948f45",
                ),
                # no checksum of this one is known here
                ZipArchive("https://zenodo.org/records/8026660/files/test_data.zip?download=1", "test"),
            ),
            locate=_folder("promise12", "**/Case*.mhd"),
        ),
        Source(
            "deeplesion",
            "DeepLesion",
            "Images_png/<patient>_<study>_<series>/<slice>.png and DL_info.csv",
            "deeplesion:DeepLesion",
            licence="free for research, credit to NIH (Yan et al. 2018)",
            place="https://nihcc.app.box.com/v/DeepLesion",
            steps="download DL_info.csv and the Images_png archives and unpack them",
            serves=("lnsm",),
            locate=_folder("deeplesion", "Images_png/", "DL_info.csv", need=all),
        ),
        _scans("lidc-lung", "LIDC-IDRI chest CT with lung masks", "CC BY 3.0 (LIDC-IDRI, TCIA)", "lidc-idri"),
        _scans("qin-lung", "QIN LUNG CT with lung masks", "CC BY 3.0 (QIN LUNG CT, TCIA)", "qin-lung-ct"),
        _scans(
            "lung-ct",
            "chest CT of your own, or of a public collection such as NSCLC-Radiomics",
            "that of the scans",
            "nsclc-radiomics",
            steps="put a few scans there, of your own or",
        ),
        Source(
            "lungs",
            "Finding and Measuring Lungs in CT Data",
            "2d_images/ID_0001_Z_0146.tif with 2d_masks/ID_0001_Z_0146.tif; or finding-lungs-in-ct.zip of them",
            "finding_lungs:FindingLungs",
            licence="not stated where it was got; not to be redistributed",
            place="https://github.com/lizoyu/Lung-CT-segmentation",
            serves=("lungs-2d",),
            folder="finding-lungs-in-ct",
            git=GitFolder(
                "https://github.com/lizoyu/Lung-CT-segmentation", "58860fd2a8944fc6c1fb95fe24c387151f3d37f8", "data"
            ),
            locate=_finding_lungs,
        ),
    )
}
"""Where real images come from, and who reads them."""

REAL_ONLY = tuple(name for source in SOURCES.values() for name in source.serves if name not in NAMES)
"""Data sets of real images only, in no table: scans to try a network on that was trained on others, and what a source
for :data:`SOURCES` of one's own adds."""


def sources_of(name: str) -> tuple[Source, ...]:
    """Return the sources that can serve data set ``name``, the preferred one first: one that serves nothing else.

    The others come in the order of :data:`SOURCES`. So DeepLesion comes before LIDC for ``lnsm``.
    """
    if name not in (*NAMES, *REAL_ONLY):
        raise ConfigError(f"unknown data set {name!r}; choose one of {', '.join((*NAMES, *REAL_ONLY))}")
    return tuple(
        sorted((source for source in SOURCES.values() if name in source.serves), key=lambda source: len(source.serves))
    )


def located(name: str, root: Path) -> tuple[Source, Path] | None:
    """Return the source that serves data set ``name`` under ``root`` and its path; None when there is none."""
    for source in sources_of(name):
        path = source.locate(root)
        if path is not None:
            return source, path
    return None


def found(root: str | Path) -> dict[str, Path]:
    """Return the folder or archive of each data set with real data under ``root``.

    ``lnsm`` is served by DeepLesion, else by LIDC (RECIST axes of patients that ``lidc`` does not use).
    """
    places = {name: located(name, Path(root)) for name in (*NAMES, *REAL_ONLY)}
    return {name: place[1] for name, place in places.items() if place}


def how_to_get(name: str, root: Path) -> str:
    """Return for people: what of data set ``name`` is missing, every way to get it, and the folder it goes to."""
    ways = [(source.missing(root), source.how_to_get(root)) for source in sources_of(name)]
    return "; or ".join(f"{missing}: {way}" for missing, way in ways if missing)
