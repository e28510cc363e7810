"""``python -m docs.site``: write pages of families and pictures of methods; build the site."""

import logging

from docs.site.build import build_site
from docs.site.families import write_families
from docs.site.method_pictures import write_pictures
from docs.site.pages import ROOT

OUT = ROOT / "build" / "site"

logging.basicConfig(level=logging.WARNING)
write_families()
write_pictures()
build_site(OUT)
print(f"wrote {OUT.relative_to(ROOT)}/index.html")
