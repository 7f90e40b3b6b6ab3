"""Everything that touches a diffusers pipeline.

It never keeps a list of what diffusers has.
"""
