"""The pages of the demo: Live, Photo, Many photos, Video and About."""
