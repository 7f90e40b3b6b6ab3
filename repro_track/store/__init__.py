"""MLflow, and what this machine knows of it; the only folder that speaks to MLflow.

It never runs anything that it reads from a store.
"""
