"""The arms: a folder each, numbers with their source and one URDF."""

from robots.registry import Registry

ARMS = Registry(
    "arm",
    "pliant.arms",
    {
        "panda": "robots.catalog.panda:PANDA",
        "viperx": "robots.catalog.viperx:VIPERX",
    },
)
