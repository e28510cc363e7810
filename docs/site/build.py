"""Builds the site with MkDocs; every warning is an error."""

import os
import tempfile
from pathlib import Path
from typing import Any

from docs.site.pages import CONFIG, gather_pages, menu


def build_site(out: Path, nav: list[Any] | None = None) -> None:
    """Build the site.

    Args:
        out: where to; what is there is replaced.
        nav: the menu; None: that of the whole site.

    Raises:
        mkdocs.exceptions.Abort: there were warnings, which stand on standard error.
    """
    os.environ["NO_MKDOCS_2_WARNING"] = "1"  # a notice of the theme, no warning about the site
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    with tempfile.TemporaryDirectory() as folder:
        gather_pages(Path(folder))
        config = load_config(
            str(CONFIG),
            docs_dir=folder,
            site_dir=str(out),
            nav=menu() if nav is None else nav,
            strict=True,
        )
        config.plugins.on_startup(command="build", dirty=False)
        try:
            build(config)
        finally:
            config.plugins.on_shutdown()
