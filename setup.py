"""The description of the package on PyPI: the README, with absolute links. All else about the package is in
pyproject.toml.

PyPI shows the README beside no repository, so a relative link leads nowhere there. In the repository relative links are
right: they work in every clone, branch and fork. It reads two files and changes none.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
_LINK = re.compile(r"(?P<is_picture>!?)(?P<text>\[(?:[^\[\]]|\[[^\[\]]*\])*\])\((?P<target>(?![a-z]+:|#)[^)\s]+)\)")


def read_url() -> str:
    """Return the address of the repository, which `pyproject.toml` has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Source"]


def make_absolute(target: str, *, url: str, is_picture: bool = False) -> str:
    """Return the address at which the repository at `url` shows the file or folder `target`.

    Args:
        target: a path from the root of the repository, with or without an anchor.
        url: the address of the repository, in the form of GitHub's.
        is_picture: return the address of the bytes, not of the page around them.

    >>> make_absolute("docs/api.md", url="https://host/a/b")
    'https://host/a/b/blob/HEAD/docs/api.md'
    """
    return f"{url}/{'raw' if is_picture else 'blob'}/HEAD/{target}"


def render_description(text: str, *, url: str) -> str:
    """Return Markdown with each relative link and picture made absolute.

    >>> render_description("![a](b.png) [c](d.md#e) [f](https://host) [g](#h)", url="U")
    '![a](U/raw/HEAD/b.png) [c](U/blob/HEAD/d.md#e) [f](https://host) [g](#h)'
    """

    def replace(link: re.Match[str]) -> str:
        target = make_absolute(link["target"], url=url, is_picture=bool(link["is_picture"]))
        return f"{link['is_picture']}{link['text']}({target})"

    return _LINK.sub(replace, text)


if __name__ == "__main__":
    setup(
        long_description=render_description((ROOT / "README.md").read_text(encoding="utf-8"), url=read_url()),
        long_description_content_type="text/markdown",
    )
