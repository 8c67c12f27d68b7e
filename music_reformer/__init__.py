"""Music Reformer: composes long music with a Reformer language model."""

__version__ = "0.1.0"
