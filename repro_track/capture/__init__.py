"""The world around a run, captured and restored.

It never writes into the user's tree, and never keeps a secret.
"""
