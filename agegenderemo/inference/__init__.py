"""From a picture, or the frames of a video, to what a network says of each face; no torch."""
