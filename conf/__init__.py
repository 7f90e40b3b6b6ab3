"""The configs of repro_track, as package data (`pkg://repro_track.conf`)."""
