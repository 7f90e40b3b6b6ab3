"""The version of the program. It is here so that nobody has to import the package's root."""

__version__ = "0.1.0"
