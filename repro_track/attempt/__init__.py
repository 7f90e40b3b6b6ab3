"""One re-execution of a record: plan, restore, child process, compare, log.

It never loads torch, and never writes outside of its workspace, the user's caches and the store.
"""
