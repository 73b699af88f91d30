"""The pages of the demo: Live, Photo, Many photos and About."""
