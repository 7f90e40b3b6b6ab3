"""What is written down about a run.

It never loads torch, and touches no disk but its own JSON.
"""
