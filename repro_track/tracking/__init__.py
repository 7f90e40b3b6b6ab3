"""One run while it is open.

It never knows a command line.
"""
