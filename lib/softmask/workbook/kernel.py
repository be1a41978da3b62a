"""The kernel of a notebook, as :mod:`.execute` starts it: IPython's, which ends when its runner is killed.

IPython's own watch misses a runner that is killed while the kernel is being started.
"""

import os

from softmask.machine import end_with

if __name__ == "__main__":
    end_with(int(os.environ["JPY_PARENT_PID"]))  # which jupyter_client sets
    from ipykernel import kernelapp  # takes seconds, which are watched already

    kernelapp.launch_new_instance()
