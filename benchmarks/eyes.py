"""How exactly printed tags are measured, on pictures that MuJoCo renders of a box with tags.

The box is 0.12 x 0.06 x 0.06 m, with two tags of 40 mm on its top and one on each side. A camera of
1280 x 720 pixels looks down on it from 0.8 m away. Each pose is rendered twice: as it is, and with
blur and noise. Then the box stands still and a Panda carries the camera, 0.3 to 0.7 m from it, at
rest and in motion (``wrist.py``). Then a video of the box in motion, with blur and noise, is played
to the tracker in its own process, as a deployment runs it.

    MUJOCO_GL=egl python benchmarks/eyes.py --poses 1000
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from tag_studio import AIM, CAMERA, HEIGHT, WIDTH, Studio, look_at, tracker_table, write_config
from wrist import wrist_poses

from hw_interface.trackers.fiducial import Fiducial, FiducialOptions
from hw_interface.trackers.fiducial_config import FiducialConfig, rotation_of
from hw_interface.trackers.fiducial_pose import ObjectPose, PoseSolver, TagDetector
from robots.catalog.panda import PANDA
from robots.rotations import angle_between, quaternion_from_matrix, transform
from robots.signals import Array

BLUR = 1.0  # pixels, standard deviation
NOISE = 5.0  # gray levels
RATE = 25.0  # Hz, of the video


def spoil(picture: Any, rng: np.random.Generator) -> Any:
    """The picture as a camera might give it: out of focus, and with noise."""
    blurred = cv2.GaussianBlur(picture, (0, 0), BLUR)
    noisy = blurred + rng.normal(0, NOISE, picture.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def random_pose(rng: np.random.Generator) -> tuple[Array, Array]:
    """Within 0.2 m of the middle, any yaw, tilted by up to 0.5 rad."""
    aside = rng.uniform(-1, 1, 3) * [0.2, 0.15, 0.0]
    above = np.array([0.0, 0.0, rng.uniform(0, 0.1)])
    pos = AIM + aside + above
    tilt = rng.uniform(0, 0.5)
    direction = rng.uniform(-np.pi, np.pi)
    axis = np.array([np.cos(direction), np.sin(direction), 0.0])
    tilted, _ = cv2.Rodrigues(tilt * axis)
    yaw = np.array([0.0, 0.0, rng.uniform(-np.pi, np.pi)])
    turned, _ = cv2.Rodrigues(yaw)
    rotation = tilted @ turned
    (quat,) = quaternion_from_matrix(rotation[None])
    return pos, quat


def error_of(pose: ObjectPose, pos: Array, quat: Array) -> tuple[float, float, float]:
    """Errors in mm and degrees, and the squared one in units of the covariance, over 6."""
    turn, _ = cv2.Rodrigues(rotation_of(pose.quat) @ rotation_of(quat).T)
    error = np.concatenate([pose.pos - pos, turn.ravel()])
    normalized = error @ np.linalg.solve(pose.covariance, error) / 6
    distance = 1000 * float(np.linalg.norm(error[:3]))
    return distance, float(np.degrees(angle_between(pose.quat, quat))), float(normalized)


def describe(name: str, errors: list[tuple[float, float, float]], count: int) -> None:
    """One line of the table."""
    mm, degrees, normalized = np.array(errors).T
    cells = [name, f"{100 * len(errors) / count:.1f} %"]
    for values in (mm, degrees):
        cells += [f"{np.median(values):.3f}", f"{np.quantile(values, 0.95):.3f}"]
        cells.append(f"{values.max():.3f}")
    cells.append(f"{normalized.mean():.2f}")
    print("| " + " | ".join(cells) + " |", flush=True)


def measure_poses(studio: Studio, count: int, seed: int) -> None:
    """Print the errors over random poses."""
    config = msgspec.convert(tracker_table(), FiducialConfig)
    detect = TagDetector(config.dictionary)
    solve = PoseSolver(config)
    camera = transform(look_at(CAMERA, AIM), CAMERA)
    rng = np.random.default_rng(seed)
    errors: dict[str, list[tuple[float, float, float]]] = {"sharp": [], "blur and noise": []}
    seconds = 0.0
    for _ in range(count):
        pos, quat = random_pose(rng)
        picture = studio.photograph(pos, quat)
        pictures = {"sharp": picture, "blur and noise": spoil(picture, rng)}
        for name, taken in pictures.items():
            began = time.process_time()
            pose = solve(detect(taken), camera)
            seconds += time.process_time() - began
            if pose is not None:
                errors[name].append(error_of(pose, pos, quat))
    print("| picture | measured | mm: median | 95 % | max | degrees: median | 95 % | max | e²/σ² |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, values in errors.items():
        describe(name, values, count)
    print(f"{1000 * seconds / (2 * count):.1f} ms of one core for each picture")


def measure_wrist(count: int, seed: int) -> None:
    """Print the errors with the camera on the arm, as rows of the same table."""
    rng = np.random.default_rng(seed)
    upright = np.array([1.0, 0, 0, 0])
    errors: dict[str, list[tuple[float, float, float]]] = {}
    for name, pose in wrist_poses(count, rng, partial(spoil, rng=rng)):
        row = errors.setdefault(name, [])
        if pose is not None:
            row.append(error_of(pose, AIM, upright))
    for name, values in errors.items():
        describe(name, values, count)


def move(stamp: float) -> tuple[Array, Array]:
    """Where the box is in the video: on a circle, turning, at up to 0.2 m/s."""
    angle = 2.0 * stamp
    pos = AIM + 0.1 * np.array([np.cos(angle), np.sin(angle), 0])
    return pos, np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])


def write_video(studio: Studio, file: Path, seconds: float, rng: np.random.Generator) -> None:
    """A video of the box in motion; it is hidden for the fifth of the time in the middle."""
    video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (WIDTH, HEIGHT))
    for number in range(round(seconds * RATE)):
        stamp = number / RATE
        picture = studio.photograph(*move(stamp))
        if 0.4 < stamp / seconds < 0.6:
            picture[:] = 120
        video.write(cv2.cvtColor(spoil(picture, rng), cv2.COLOR_GRAY2BGR))
    video.release()


def measure_video(studio: Studio, folder: Path, seconds: float, seed: int) -> None:
    """Play a video to the tracker in its process, and read it at 500 Hz as an arm does."""
    video = folder / "box.avi"
    write_video(studio, video, seconds, np.random.default_rng(seed))
    file = folder / "eyes.toml"
    write_config(file, tracker_table(str(video)))
    tracker = Fiducial(PANDA, FiducialOptions(str(file)))
    readings, took = read_until_the_end(tracker)
    start = find_start(readings)
    mm = []
    degrees = []
    for stamp, (pos, quat, _) in readings.items():
        true_pos, true_quat = move(stamp - start)
        mm.append(1000 * np.linalg.norm(pos - true_pos))
        degrees.append(np.degrees(angle_between(quat, true_quat)))
    ages = [1000 * age for _, _, age in readings.values()]
    print(f"\nvideo of {seconds:.0f} s, {RATE:.0f} Hz: {len(readings)} poses published")
    print(f"mm: median {np.median(mm):.3f}, 95 % {np.quantile(mm, 0.95):.3f}, max {max(mm):.3f}")
    print(f"degrees: median {np.median(degrees):.3f}, max {max(degrees):.3f}")
    print(f"age of a new pose: median {np.median(ages):.1f} ms, max {max(ages):.1f} ms")
    print(f"longest time without a new pose: {max(np.diff(sorted(readings))):.2f} s")
    slowest = np.quantile(took, 0.999)
    print(f"read(): median {np.median(took):.1f} us, 99.9 % {slowest:.1f} us")


def find_start(readings: dict[float, tuple[Array, Array, float]]) -> float:
    """When the video began, s: the first reading is of the frame that fits its place best.

    Frames are 8 mm apart, and every one is tried: frames are skipped where the machine is busy.
    """
    first = min(readings)
    pos, _, _ = readings[first]
    places = np.array([move(number / RATE)[0] for number in range(round(3 * RATE))])
    number = np.linalg.norm(places - pos, axis=1).argmin()
    return first - int(number) / RATE


def read_until_the_end(
    tracker: Fiducial,
) -> tuple[dict[float, tuple[Array, Array, float]], list[float]]:
    """Each new pose by its stamp, with its age in s when it was read; and how long reads took."""
    readings: dict[float, tuple[Array, Array, float]] = {}
    took = []
    while True:
        began = time.perf_counter()
        try:
            state = tracker.read()
        except OSError as error:
            if "has ended" in str(error):
                return readings, took
            time.sleep(0.002)
            continue
        took.append(1e6 * (time.perf_counter() - began))
        age = time.monotonic() - state.stamp
        readings.setdefault(state.stamp, (state.pos, state.quat, age))
        time.sleep(0.002)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--poses", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the video")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="also write one picture here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    studio = Studio()
    if arguments.picture is not None:
        rng = np.random.default_rng(arguments.seed)
        cv2.imwrite(str(arguments.picture), spoil(studio.photograph(*random_pose(rng)), rng))
    measure_poses(studio, arguments.poses, arguments.seed)
    measure_wrist(arguments.poses, arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        measure_video(studio, Path(folder), arguments.seconds, arguments.seed)
    studio.renderer.close()


if __name__ == "__main__":
    main()
