"""What stands between strangers and the page: plain ASGI, before gradio sees a byte.

`Guard` is the middleware, `Store` the folder of everything that is uploaded or made, `Limits` all
numbers, `serve` the server around them. SECURITY.md says what is promised.
"""

from agegenderemo.web.guard.hosts import HostRules
from agegenderemo.web.guard.limits import Limits
from agegenderemo.web.guard.middleware import Guard
from agegenderemo.web.guard.store import Store, StoreError

__all__ = ["Guard", "HostRules", "Limits", "Store", "StoreError"]
