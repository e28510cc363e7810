"""Pictures and videos as files."""

from pathlib import Path

import numpy as np

from sim.rendering.clip import FRAME_RATE, Image


def write_picture(path: Path, image: Image) -> None:
    """A picture, in the format that the path's ending names."""
    import matplotlib.image

    matplotlib.image.imsave(path, image)


def write_video(path: Path, frames: list[Image]) -> None:
    """H.264 in the container that the path's ending names, at ``FRAME_RATE``."""
    import av

    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE)
        stream.height = height
        stream.width = width
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            image = np.ascontiguousarray(frame, dtype=np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
