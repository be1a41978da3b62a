"""``python -m softmask``: the ``softmask`` command."""

import sys

from softmask.cli import main

sys.exit(main())
