"""Keep one instance running: the supervisor and the side of the command line that talks to it."""
