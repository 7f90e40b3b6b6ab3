"""One re-execution of a record: plan, restore, child process, compare, log.

It never loads torch, and never writes outside its workspace and caches.
"""
