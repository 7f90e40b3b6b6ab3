"""Tiny pipelines of random weights, one function for each, built here and downloaded from nowhere.

Every entry is the pipeline's real class with real components, as small as its code allows: a few channels, one layer,
8 to 32 pixels. What comes out is noise; that it comes out again to the bit is what the tests ask.
"""

from tests.conformance.zoo import families, modular, recent, variants  # noqa: F401  they fill the table
from tests.conformance.zoo.adapters import save_ip_adapter, save_lora, save_textual_inversion
from tests.conformance.zoo.entry import ZOO, Entry

__all__ = ["ZOO", "Entry", "save_ip_adapter", "save_lora", "save_textual_inversion"]
