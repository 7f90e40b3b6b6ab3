"""What a person asks of `repro-track replay`.

It never runs anything itself: attempts do.
"""
