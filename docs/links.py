"""A hook of the site: a page's link to a file outside of `docs/` becomes the address of that file in the repository.

On the pages themselves such a link is relative (`../examples`), which is right in every clone. It touches no other
link, and warns, which ends a strict build, where the file is not there.
"""

import importlib.util
import logging
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
_OUTSIDE = re.compile(r"\]\(\.\./(?P<target>[^)\s]+)\)")
logger = logging.getLogger("mkdocs.hooks.links")


def _load_setup() -> ModuleType:
    specification = importlib.util.spec_from_file_location("repro_track_setup", ROOT / "setup.py")
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def on_page_markdown(markdown: str, page, **_) -> str:
    """Return the page's text with its links to files outside of `docs/` made absolute."""
    setup = _load_setup()
    url = setup.read_url()

    def replace(link: re.Match[str]) -> str:
        target = link["target"]
        if not (ROOT / target.partition("#")[0]).exists():
            logger.warning("%s links to %s, which is not there", page.file.src_uri, target)
        return f"]({setup.make_absolute(target, url=url)})"

    return _OUTSIDE.sub(replace, markdown)
