"""The same product as a folder of files that a browser runs by itself: its builder and a server to
look at it."""

from agegenderemo.static_site.build import Site, build_site
from agegenderemo.static_site.runtime import Runtime, find_runtime
from agegenderemo.static_site.write import write_site

__all__ = ["Runtime", "Site", "build_site", "find_runtime", "write_site"]
