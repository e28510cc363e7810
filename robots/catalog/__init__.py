"""The arms: one folder each, with its numbers, their sources and one URDF."""

from robots.registry import Registry

ARMS = Registry(
    "arm",
    "pliant.arms",
    {
        "panda": "robots.catalog.panda:PANDA",
        "fr3": "robots.catalog.fr3:FR3",
        "kinova_gen3": "robots.catalog.kinova_gen3:KINOVA_GEN3",
        "so101": "robots.catalog.so101:SO101",
        "ur5e": "robots.catalog.ur5e:UR5E",
        "viperx": "robots.catalog.viperx:VIPERX",
        "xarm7": "robots.catalog.xarm7:XARM7",
    },
)
