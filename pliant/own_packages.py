"""Pliant's own packages are found where Pliant is installed, or the import says what hides them."""

import importlib.util
from pathlib import Path

OWN_PACKAGES = ("robots", "sim", "policies", "hw_interface", "adaptation")


def check_own_packages() -> None:
    """Refuse a Python path on which something else comes before a package of Pliant.

    Python looks in the folder of the script that was started, or in the present one, before it
    looks where Pliant is installed.

    Raises:
        ImportError: the message names the file or folder that hides a package.
    """
    home = Path(__file__).resolve().parents[1]
    for name in OWN_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ImportError(f"Pliant's package {name!r} is missing: install Pliant again")
        found = Path(spec.origin).resolve()
        if found != home / name / "__init__.py":
            raise ImportError(
                f"{found} hides Pliant's own package {name!r}: rename it, or start Python elsewhere"
            )
