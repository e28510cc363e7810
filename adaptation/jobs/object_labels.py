"""What a person knows of the real objects of a trial: names, masses, photos.

It is given in a TOML file with one table for each object, in their order:

    [[object]]
    name = "blue mug"
    mass = 0.31  # kg
    photo = "mug.jpg"  # beside the file

or as a folder of photos, whose names without the ending are those of the objects, in alphabetical
order. A trial's folder keeps it in ``labels.json``, and the photos, reduced, in ``photos``.
"""

import tomllib
from pathlib import Path

import msgspec
from PIL import Image, ImageOps, UnidentifiedImageError

from adaptation.runs.files import read_record, replace_file
from hw_interface.recording.regular import check_regular
from robots.errors import BadArgumentError

ENDINGS = (".jpg", ".jpeg", ".png")
LARGEST_PHOTO = 480  # pixels of the longer side, as it is kept
LABELS = "labels.json"
PHOTOS = "photos"


class ObjectLabel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object of a trial."""

    name: str = ""
    mass: float | None = None  # kg
    photo: str | None = None  # its file

    def __str__(self) -> str:
        mass = "" if self.mass is None else f"{self.mass:g} kg"
        return ", ".join(word for word in (self.name, mass) if word)


class Labels(msgspec.Struct, frozen=True):
    """All objects of a trial in their order; further ones have no label."""

    object: list[ObjectLabel] = []


def read_labels(path: Path) -> Labels:
    """Read a TOML file, or a folder of photos.

    Raises:
        FileNotFoundError: there is nothing at ``path``, or a photo is missing.
        BadArgumentError: it is neither, a label is malformed, or a photo is no picture.
    """
    if path.is_dir():
        photos = sorted(each for each in path.iterdir() if each.suffix.lower() in ENDINGS)
        if not photos:
            raise BadArgumentError(f"{path} holds no photo ({', '.join(ENDINGS)})")
        labels = Labels([ObjectLabel(each.stem, photo=str(each)) for each in photos])
    else:
        labels = _read_file(path)
    for label in labels.object:
        if label.photo is not None:
            _open_photo(Path(label.photo))
    return labels


def _read_file(path: Path) -> Labels:
    check_regular(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        labels = msgspec.convert(tables, Labels)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadArgumentError(f"{path} holds no labels of objects: {error}") from error
    found = []
    for label in labels.object:
        if label.mass is not None and not label.mass > 0:
            raise BadArgumentError(f"{path}: the mass of {label.name!r} must be above 0 kg")
        if label.photo is not None:
            label = msgspec.structs.replace(label, photo=str(path.parent / label.photo))
        found.append(label)
    return Labels(found)


def keep_labels(labels: Labels, folder: Path) -> None:
    """Keep labels in a trial's folder, with reduced photos; they replace earlier ones."""
    kept = []
    for number, label in enumerate(labels.object, start=1):
        if label.photo is not None:
            name = f"{PHOTOS}/{number}.jpg"
            _keep_photo(Path(label.photo), folder / name)
            label = msgspec.structs.replace(label, photo=name)
        kept.append(label)
    replace_file(folder / LABELS, msgspec.json.encode(Labels(kept)))


def kept_labels(folder: Path) -> Labels:
    """The labels of a trial; none where none were given.

    Raises:
        DamagedError: they cannot be read.
    """
    path = folder / LABELS
    return read_record(path, Labels) if path.exists() else Labels()


def label_of(labels: Labels, number: int) -> ObjectLabel:
    """The label of an object, counted from 0; an empty one where there is none."""
    return labels.object[number] if number < len(labels.object) else ObjectLabel()


def _open_photo(path: Path) -> Image.Image:
    check_regular(path)
    try:
        return Image.open(path)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BadArgumentError(f"{path} is no photo that can be read") from error


def _keep_photo(path: Path, kept: Path) -> None:
    """Write a photo upright and reduced, without what a camera adds, such as the place."""
    kept.parent.mkdir(exist_ok=True)
    with _open_photo(path) as photo:
        try:
            upright = ImageOps.exif_transpose(photo)
            upright.thumbnail((LARGEST_PHOTO, LARGEST_PHOTO))
            upright.convert("RGB").save(kept, quality=80)
        except OSError as error:
            raise BadArgumentError(f"{path} is no whole photo: {error}") from error
