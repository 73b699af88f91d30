"""Pictures before and after the networks: load, geometry, resize, quality, draw, colours."""
