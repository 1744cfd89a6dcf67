"""Sphinx's settings for the book; tools/book.py lays out what it reads."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

project = "posebook"
author = "the authors of posebook"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "parts"]
exclude_patterns = ["README.md", "_static"]
nb_execution_mode = "off"
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0), ("html", "image/png", 1)]
myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True, "member-order": "bysource"}
add_module_names = False
autodoc_typehints = "none"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "posebook"
html_math_renderer = "mathml"
html_static_path = ["_static"]
OWN = sorted(path.name for name in ("book", "player") for path in HERE.glob(f"_static/{name}.*s"))
html_css_files = [name for name in OWN if name.endswith(".css")]
html_js_files = [(name, {"defer": "defer"}) for name in OWN if name.endswith(".js")]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # it would ask for every page it found, which file:// forbids
html_domain_indices = False
html_context = {"default_mode": "auto"}
html_sidebars = {name: [] for name in ("*", "chapters/*", "exercises/*/*")}
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "navbar_persistent": ["search-button"],
    "show_prev_next": True,
    "header_links_before_dropdown": 7,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copyright = "the authors of posebook. Prose and figures CC BY 4.0, code BSD-3-Clause"
copybutton_selector = ".cell_input pre, div.highlight-default pre, div.highlight-python pre, div.highlight-sh pre"
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
