"""``python -m softmask.workbook``."""

import sys

from softmask.workbook.cli import main

sys.exit(main())
