"""The demo: ``python app.py`` opens it on localhost."""

import sys

from agegenderemo.web.app import main

if __name__ == "__main__":
    sys.exit(main())
