"""Data sets: readers that parse, prepared crops on disk, and the tensors for training."""
