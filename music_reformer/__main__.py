"""`python -m music_reformer`: the same as the command `music-reformer`."""

import sys

from music_reformer.cli import main

if __name__ == "__main__":
    sys.exit(main())
