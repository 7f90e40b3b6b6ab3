"""`repro-track run`: a config to a tracked run, as a Hydra app.

It never replays.
"""
