"""``python -m docs.site``: write the pages of the families, and build the site."""

import logging

from docs.site.build import build_site
from docs.site.families import write_families
from docs.site.pages import ROOT

OUT = ROOT / "build" / "site"

logging.basicConfig(level=logging.WARNING)
write_families()
build_site(OUT)
print(f"wrote {OUT.relative_to(ROOT)}/index.html")
