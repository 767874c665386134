"""The command line: options in, one call, one value printed."""
