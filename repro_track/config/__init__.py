"""The config of a run: Hydra's schema, its presets, the places on this machine.

It never loads torch or mlflow.
"""
