"""`python -m swindex.api` is the command line."""

import sys

from .main import main

sys.exit(main())
