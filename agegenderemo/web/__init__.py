"""The pages of the demo: Live, Photo, Many, Video, Code and About."""
