"""Pictures with the times at which they were taken: of a camera, a video file or a folder."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from hw_interface.trackers.fiducial_config import CameraEntry
from hw_interface.trackers.fiducial_pose import Picture

PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
SILENCE = 1.0  # s without a picture, after which a camera counts as lost
Frames = Iterator[tuple[float, Picture]]


def open_frames(camera: CameraEntry, paced: bool = True) -> Frames:
    """The pictures of the source that the file names, with their times.

    Args:
        camera: the source, and the size that its pictures must have.
        paced: True: files are played in real time from now on, and pictures that come too late are
            skipped; stamps are then on the clock ``time.monotonic``. False: every picture, at
            once, with stamps in s from the first one. A camera is always paced.

    The camera's delay is subtracted from the stamps: they are those of the exposure.

    Raises:
        OSError: the source cannot be opened, ends (a file), is silent (a camera), or has pictures
            of another size.
    """
    source = camera.source
    if isinstance(source, int):
        frames = _camera_frames(source, camera)
    else:
        path = Path(source)
        timed = _folder_frames(path, camera.rate) if path.is_dir() else _video_frames(path)
        frames = _in_real_time(timed) if paced else timed

    for stamp, picture in frames:
        check_size(picture, camera, f"{source} gives pictures")
        yield stamp - camera.delay, picture


def check_size(picture: Picture, camera: CameraEntry, subject: str) -> None:
    """Refuse a picture of another size than that at which the lens was calibrated.

    Raises:
        OSError: the message begins with ``subject``.
    """
    h, w = picture.shape[:2]
    if (h, w) != (camera.height, camera.width):
        calibrated = f"the camera was calibrated at {camera.width}x{camera.height}"
        raise OSError(f"{subject} of {w}x{h}, and {calibrated}")


def _video_frames(path: Path) -> Frames:
    """Every picture of a video, with the file's own times in s."""
    video = cv2.VideoCapture(str(path)) if path.is_file() else None
    if video is None or not video.isOpened():
        raise OSError(f"{path} is neither a video that can be read nor a folder of pictures")
    try:
        while video.grab():
            stamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
            is_whole, picture = video.retrieve()
            if is_whole:
                yield stamp, np.asarray(picture, dtype=np.uint8)
    finally:
        video.release()


def _folder_frames(folder: Path, rate: float) -> Frames:
    """The pictures of a folder in the order of their names, ``rate`` in one second."""
    files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in PICTURES]
    if not files:
        raise OSError(f"{folder} has no pictures: {', '.join(PICTURES)}")
    for number, file in enumerate(files):
        yield number / rate, read_picture(file)


def read_picture(file: Path) -> Picture:
    """A picture as gray levels (h, w).

    Raises:
        OSError: the file is no picture.
    """
    picture = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise OSError(f"{file} is no picture that can be read")
    return np.asarray(picture, dtype=np.uint8)


def _in_real_time(timed: Frames) -> Frames:
    """Play pictures at their times from now on; one that is over when its turn comes is skipped."""
    start = time.monotonic()
    pending: tuple[float, Picture] | None = None
    for stamp, picture in timed:
        due = start + stamp
        if pending is not None:
            _wait_until(pending[0])
            is_over = due <= time.monotonic()
            if not is_over:
                yield pending
        pending = due, picture

    if pending is not None:
        _wait_until(pending[0])
        yield pending


def _wait_until(due: float) -> None:
    """Sleep until a time of the monotonic clock, s, if it is still to come."""
    time.sleep(max(0.0, due - time.monotonic()))


class _Newest:
    """A thread that empties the camera's queue, so that the picture taken is the newest."""

    def __init__(self, camera: cv2.VideoCapture) -> None:
        """Begin to read."""
        self._camera = camera
        self._fresh = threading.Condition()
        self._newest: tuple[float, Picture] | None = None
        thread = threading.Thread(target=self._read, daemon=True)
        thread.start()

    def _read(self) -> None:
        """Read until the camera fails."""
        while self._camera.grab():
            stamp = time.monotonic()
            is_whole, picture = self._camera.retrieve()
            if not is_whole:
                continue
            with self._fresh:
                self._newest = stamp, np.asarray(picture, dtype=np.uint8)
                self._fresh.notify()

    def take(self) -> tuple[float, Picture] | None:
        """The newest picture that was not taken yet; None if there is none within ``SILENCE`` s."""
        with self._fresh:
            self._fresh.wait_for(lambda: self._newest is not None, SILENCE)
            newest = self._newest
            self._newest = None
            return newest


def _camera_frames(index: int, entry: CameraEntry) -> Frames:
    """The newest picture of a camera, again and again, with the time at which it arrived."""
    camera = cv2.VideoCapture(index)
    if not camera.isOpened():
        raise OSError(f"camera {index} cannot be opened")
    camera.set(cv2.CAP_PROP_FRAME_WIDTH, entry.width)
    camera.set(cv2.CAP_PROP_FRAME_HEIGHT, entry.height)
    camera.set(cv2.CAP_PROP_FPS, entry.rate)
    camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)

    newest = _Newest(camera)
    taken = newest.take()
    while taken is not None:
        yield taken
        taken = newest.take()
    raise OSError(f"camera {index} gave no picture for {SILENCE} s")
