"""Films: opened with care, read frame by frame, told as people, drawn and written again."""
