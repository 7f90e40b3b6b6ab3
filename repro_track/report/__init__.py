"""Values to text and pages.

It never loads anything, and never trusts a value.
"""
