"""The command line: options in, one call, one value printed."""

import gc

# A short command makes modules, which live as long as it does: looking for garbage among them at every 700 objects
# (the default) takes a twentieth of its time.
gc.set_threshold(50_000)
