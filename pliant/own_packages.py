"""Check at import that no other package hides one of Pliant's own packages."""

import importlib.util
from pathlib import Path

OWN_PACKAGES = ("robots", "sim", "policies", "hw_interface", "adaptation")


def check_own_packages() -> None:
    """Refuse a Python path on which another module or folder hides a package of Pliant.

    Python searches the folder of the started script, or the current folder, before the folder in
    which Pliant is installed.

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
