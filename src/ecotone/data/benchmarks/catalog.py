"""The public data sets that `ecotone data` lists: what each is, where it comes from, and whether it is complete.

None of them travels with the package. `instructions` says how to get one from its own source, `check` looks at a
folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecotone.errors import UsageError, suggest


@dataclass(frozen=True)
class Dataset:
    """A public data set.

    Attributes:
        name: Its word in `ecotone data`, and its folder below the data folder.
        folder: Folder below the data folder.
        what: One line.
        source: Where it is published.
        terms: Licence, and what to cite.
        files: Alternative sets of files; the data set is usable when all files of one set are there.
        steps: How to get it; FOLDER stands for where the files belong.
    """

    name: str
    folder: str
    what: str
    source: str
    terms: str
    files: dict[str, tuple[str, ...]]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class FileState:
    """One file of a data set: the part it belongs to, and whether it is "there", "missing" or "empty"."""

    part: str
    path: Path
    state: str


def _nceas_files() -> dict[str, tuple[str, ...]]:
    from ecotone.data.benchmarks.nceas import REGIONS, region_files

    return {region: tuple(path.name for path in region_files("", region)) for region in REGIONS}


_BRADYPUS = tuple(f"bio{i}{end}" for i in (1, 5, 6, 7, 8, 12, 16, 17) for end in (".grd", ".gri"))

DATASETS: dict[str, Dataset] = {
    d.name: d
    for d in (
        Dataset(
            "nceas",
            "nceas",
            "226 species of six regions: presence-only training records, presence-absence test surveys, no rasters",
            "R package disdat, https://cran.r-project.org/package=disdat; original at https://osf.io/kwc4v/",
            "package GPL-3; cite Elith et al. 2020, Biodiversity Informatics 15(2), doi 10.17161/bi.v15i2.13384",
            _nceas_files(),
            (
                'with R: install.packages("disdat"); '
                'file.copy(list.files(system.file("extdata", package = "disdat"), full.names = TRUE), "FOLDER", '
                "recursive = TRUE)",
                "without R: download the package source from its CRAN page, unpack it, and copy the .rds files and the "
                "folder borders of disdat/inst/extdata to FOLDER",
            ),
        ),
        Dataset(
            "bradypus",
            "bradypus_dismo",
            "Bradypus variegatus: 116 points and nine rasters of Latin America, the classic small example",
            "R package dismo, https://cran.r-project.org/package=dismo",
            "GPL-3",
            {"example": ("bradypus.csv", *_BRADYPUS, "biome.grd", "biome.gri")},
            (
                'with R: install.packages("dismo"); '
                'file.copy(list.files(system.file("ex", package = "dismo"), full.names = TRUE), "FOLDER")',
                "without R: download the package source from its CRAN page, unpack it, copy dismo/inst/ex to FOLDER",
            ),
        ),
        Dataset(
            "ariolimax",
            "ariolimax",
            "Ariolimax slugs of California: presence and background points with six covariates",
            "Python package elapid, https://github.com/earth-chris/elapid",
            "MIT",
            {"points": ("ariolimax.gpkg",)},
            ("copy elapid/data/ariolimax.gpkg of the repository, or of an installed elapid, to FOLDER",),
        ),
        Dataset(
            "cherry",
            "phenology",
            "cherry bloom of Japan and Switzerland with station temperatures; aspen, blueberry and PhenoCam beside them",
            "bloom: https://github.com/GMU-CherryBlossomCompetition/peak-bloom-prediction; temperatures: GHCN-Daily "
            "https://www.ncei.noaa.gov/products/land-based-station/global-historical-climatology-network-daily, MeteoSwiss, "
            "JMA; aspen and blueberry: https://github.com/sdtaylor/pyPhenology; PhenoCam: R package phenor",
            "facts of public providers, each with its own terms: Liestal non-commercial, Kyoto academic use (cite Aono & "
            "Kazui 2008, doi 10.1002/joc.1594), MeteoSwiss and JMA with attribution, GHCN-Daily public domain",
            {
                "seasons": ("bloom.csv", "temperature_daily.csv.gz", "stations.csv", "usable_seasons.csv"),
                "monthly": ("japan_monthly.csv",),
                "aspen": ("aspen_obs.csv", "aspen_temperature.csv.gz"),
                "vaccinium": ("vaccinium_obs.csv", "vaccinium_temperature.csv.gz"),
                "phenocam": tuple(f"phenocam/phenocam_{kind}.npz" for kind in ("DB", "EN", "GR")),
            },
            (
                "bloom.csv: the tables japan, meteoswiss, kyoto, liestal of the competition as one, with columns country, "
                "site_id, site, lat, lon, alt_m, species_or_variety, year, doy, date, source, same_record_as, to FOLDER",
                "temperature_daily.csv.gz: daily values of nearby stations, with columns station_id, country, date, tmin_c, "
                "tmax_c, tmean_c, quality, kind; stations.csv: station_id, name, lat, lon, alt_m",
                "usable_seasons.csv: country, site_id, year, doy, station_id, quality of each season that counts; "
                "`ecotone.data.seasons_build.build_seasons` makes such a table of any two tables",
                "aspen and blueberry: observations and daily temperatures of the package pyPhenology as *_obs.csv and "
                "*_temperature.csv.gz; phenocam: the data frames of phenor as .npz with the same names",
            ),
        ),
        Dataset(
            "chelsa_costarica",
            "chelsa_costarica",
            "CHELSA bio1 to bio19 over Costa Rica at 30 arc-seconds",
            "CHELSA V2.1, https://chelsa-climate.org/downloads",
            "as stated on the CHELSA page; cite Karger et al. 2017, Scientific Data 4, doi 10.1038/sdata.2017.122",
            {"rasters": tuple(f"CHELSA_bio{i}_1981-2010_V.2.1.tif" for i in range(1, 20))},
            (
                "download the climatologies 1981-2010 bio1 to bio19 (GeoTIFF)",
                "crop each to Costa Rica, keeping its name: gdal_translate -projwin -86.0172 11.2894 -82.5339 8.1394 "
                "NAME.tif FOLDER/NAME.tif",
            ),
        ),
        Dataset(
            "cub",
            "CUB_200_2011",
            "CUB-200-2011: 11 788 birds of 200 classes with boxes and 15 parts",
            "Caltech, https://data.caltech.edu/records/65de6-vp158",
            "research, as stated by Caltech; cite Wah et al. 2011, CNS-TR-2011-001",
            {
                "images": (
                    "images.txt",
                    "image_class_labels.txt",
                    "train_test_split.txt",
                    "bounding_boxes.txt",
                    "classes.txt",
                    "parts/parts.txt",
                    "parts/part_locs.txt",
                )
            },
            ("download CUB_200_2011.tgz and unpack it, so that images.txt lies in FOLDER",),
        ),
        Dataset(
            "nabirds",
            "nabirds",
            "NABirds: 48 562 birds of 555 classes with boxes and 11 parts",
            "Cornell Lab of Ornithology, https://dl.allaboutbirds.org/nabirds",
            "as agreed to in the form of the page; cite Van Horn et al. 2015, CVPR",
            {
                "images": (
                    "images.txt",
                    "image_class_labels.txt",
                    "train_test_split.txt",
                    "bounding_boxes.txt",
                    "classes.txt",
                    "hierarchy.txt",
                    "parts/parts.txt",
                    "parts/part_locs.txt",
                )
            },
            ("fill in the form, download the archive and unpack it, so that images.txt lies in FOLDER",),
        ),
        Dataset(
            "flowers",
            "flowers102",
            "Oxford 102 flowers: 8189 photographs with masks of the flower",
            "Visual Geometry Group, Oxford, https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
            "none stated; cite Nilsback and Zisserman 2008, ICVGIP",
            {"images": ("imagelabels.mat", "setid.mat", "jpg/image_00001.jpg")},
            (
                "download imagelabels.mat and setid.mat to FOLDER",
                "unpack 102flowers.tgz and 102segmentations.tgz there, which make the folders jpg and segmim",
            ),
        ),
        Dataset(
            "waterbirds",
            "waterbirds",
            "Waterbirds: birds of CUB set before land or water, four groups",
            "https://github.com/kohpangwei/group_DRO",
            "as of CUB and Places; cite Sagawa et al. 2020, ICLR",
            {"images": ("metadata.csv",)},
            ("unpack waterbird_complete95_forest2water2, so that metadata.csv lies in FOLDER",),
        ),
        Dataset(
            "openfield",
            "openfield_keypoints",
            "116 frames of one mouse with four clicked body parts",
            "DeepLabCut, https://github.com/DeepLabCut/DeepLabCut, examples/openfield-Pranav-2018-10-30",
            "LGPL-3; cite Mathis et al. 2018, Nature Neuroscience 21, doi 10.1038/s41593-018-0209-y",
            {"frames": ("CollectedData_Pranav.csv", "img0000.jpg")},
            ("copy CollectedData_Pranav.csv and the frames of labeled-data/m4s1, as JPEG, to FOLDER",),
        ),
    )
}


def dataset(name: str) -> Dataset:
    """A data set by name.

    Raises:
        UsageError: US101 with the closest name.
    """
    if name not in DATASETS:
        raise UsageError("US101", name, "no such data set", suggest(name, DATASETS))
    return DATASETS[name]


def rows() -> list[dict[str, Any]]:
    """One row per data set for `ecotone data list`: name, what, source, terms."""
    return [{"name": d.name, "what": d.what, "source": d.source, "terms": d.terms} for d in DATASETS.values()]


def locate(name: str, folder: str | Path) -> Path:
    """Where a data set lies: its own folder below a data folder, or the folder itself when the files lie there."""
    entry = dataset(name)
    below = Path(folder) / entry.folder
    return below if below.is_dir() else Path(folder)


def check(name: str, folder: str | Path) -> list[FileState]:
    """State of every file of a data set.

    Args:
        name: Data set.
        folder: The data folder, or the data set's own.

    Raises:
        UsageError: US101 for an unknown name.
    """
    entry, base = dataset(name), locate(name, folder)
    states = []
    for part, files in entry.files.items():
        for file in files:
            path = base / file
            state = "missing" if not path.is_file() else "there" if path.stat().st_size else "empty"
            states.append(FileState(part, path, state))
    return states


def complete_parts(states: list[FileState]) -> list[str]:
    """The parts all of whose files are there; one is enough to work with."""
    parts = dict.fromkeys(state.part for state in states)
    return [part for part in parts if all(s.state == "there" for s in states if s.part == part)]


def instructions(name: str, folder: str | Path) -> str:
    """How to get a data set into a data folder, as lines of text.

    Raises:
        UsageError: US101 for an unknown name.
    """
    entry = dataset(name)
    target = Path(folder) / entry.folder
    steps = [f"{i}. {step.replace('FOLDER', str(target))}" for i, step in enumerate(entry.steps, 1)]
    if len(entry.steps) > 1 and entry.steps[1].startswith("without"):
        steps = [step.replace(f"{i}. ", "- ", 1) for i, step in enumerate(steps, 1)]
    head = [entry.what, f"source: {entry.source}", f"terms: {entry.terms}", f"folder: {target}"]
    return "\n".join([*head, *steps, f"then: ecotone data check {name}"])
