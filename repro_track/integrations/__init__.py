"""For programs that do not call repro_track themselves: a Hydra callback, an MLflow plugin.

They never load torch or mlflow by themselves.
"""
