"""`python -m music_reformer`: the same as the command `music-reformer`."""

from music_reformer.cli import run

if __name__ == "__main__":
    run()
