"""`python -m repro_track`."""

from repro_track.cli import main

if __name__ == "__main__":
    main()
