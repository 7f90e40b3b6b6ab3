"""The config of a run: Hydra's schema, presets, places.

It never loads torch or mlflow.
"""
