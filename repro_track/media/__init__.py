"""Values that a call takes and gives, as files.

It never changes a value.
"""
