"""The same product as a folder of files that a browser runs by itself: its builder, and a server to
look at it. No torch, no gradio."""
