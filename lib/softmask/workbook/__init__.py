"""Runner of the notebooks, in order: unchanged notebooks are skipped, failures are reported, and the others still run.

``./run_all.sh --list`` works before anything is installed: :mod:`.cli`, :mod:`.notebook` and :mod:`.state` import the
standard library only, and run on Python 3.8.
"""
