"""The arms: one folder each, with its numbers, their sources and one URDF."""

from robots.registry import Registry

ARMS = Registry(
    "arm",
    "pliant.arms",
    {
        "panda": "robots.catalog.panda:PANDA",
        "fr3": "robots.catalog.fr3:FR3",
        "fr3_hand": "robots.catalog.fr3_hand:FR3_HAND",
        "jaco": "robots.catalog.jaco:JACO",
        "kinova_gen3": "robots.catalog.kinova_gen3:KINOVA_GEN3",
        "so101": "robots.catalog.so101:SO101",
        "so101_gripper": "robots.catalog.so101_gripper:SO101_GRIPPER",
        "panda_hand": "robots.catalog.panda_hand:PANDA_HAND",
        "ur5e": "robots.catalog.ur5e:UR5E",
        "ur5e_2f85": "robots.catalog.ur5e_2f85:UR5E_2F85",
        "viperx": "robots.catalog.viperx:VIPERX",
        "viperx_gripper": "robots.catalog.viperx_gripper:VIPERX_GRIPPER",
        "xarm7": "robots.catalog.xarm7:XARM7",
    },
)
