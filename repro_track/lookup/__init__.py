"""Find logged runs, compare and verify them.

It never runs one.
"""
