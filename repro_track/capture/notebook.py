"""The cells of a notebook that were run so far.

It never runs one, and never imports IPython: where that is not loaded, there is no notebook.
"""

from __future__ import annotations

import sys


def read_cells() -> str | None:
    """Read the cells that were run so far, this one included, as one Python file; `None` outside IPython."""
    if "IPython" not in sys.modules:
        return None
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return None
    cells = [cell.rstrip() for cell in shell.history_manager.input_hist_parsed if cell.strip()]
    return "\n\n".join(f"# %%\n{cell}" for cell in cells) + "\n"
