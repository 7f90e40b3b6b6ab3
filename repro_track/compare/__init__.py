"""Two records to a verdict.

It is pure: it never reads, runs or writes anything.
"""
