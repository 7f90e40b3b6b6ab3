"""Numerics and randomness: apply, read back, put back.

It never draws a number that a run would see.
"""
