"""Values to text and pages.

It never loads torch or asks a store, reads nothing but the pictures that a page shows, and trusts no value.
"""
