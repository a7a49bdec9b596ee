"""Configuration of Sphinx for the site that `make reference` builds.

The source is the root of the repository: the pages are where GitHub shows them, and have the
same links. Sphinx finds a broken link or anchor, and `--fail-on-warning` makes it an error.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

project = "angle_reco"
release = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "tools.reference.site",
]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "docs/**/*.md"]

# Anchors of headings, as GitHub names them.
myst_heading_anchors = 6

# A name in `backticks` links to its documentation, if it has one; anything else is code.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"angle_reco {release}"
html_copy_source = html_show_copyright = False
