"""Bytes of tensors and files: host memory, digests, distances.

It never gives a partial or random digest.
"""
