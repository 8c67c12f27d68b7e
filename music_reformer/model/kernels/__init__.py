"""Fast forms of attention and of the decoding step, named by the technology they use."""
