"""MIDI in and out: files to scores, scores to tokens and back, and what tokens may follow."""
