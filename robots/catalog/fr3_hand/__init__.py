"""Franka Research 3 (FR3) with the Franka Hand, which is described beside the Panda with it."""

from dataclasses import replace

import numpy as np

from robots.catalog.fr3 import FR3
from robots.catalog.panda_hand import FRANKA_HAND
from robots.zones import LiftZone

# Ours: the tool 16 cm above the place where objects are picked, the fingers open along y.
READY = np.array([-0.1234, 0.2816, -0.0919, -2.1704, 0.04, 2.4504, -0.2425, 0.04])

FR3_HAND = replace(
    FR3.with_gripper(FRANKA_HAND, "fr3_hand"),
    # The arm's own home is for a shorter tool.
    home=READY,
    # Ours: two places on the table, 24 cm apart, 10 cm farther out than the Panda's, because the
    # elbow cannot bend so far.
    lift_zone=LiftZone(
        ready=READY,
        pick=(0.55, -0.12),
        place=(0.55, 0.12),
        tool_box=np.array(
            [
                [0.4, 0.7],
                [-0.2, 0.2],
                [0.02, 0.25],
            ]
        ),
    ),
)
