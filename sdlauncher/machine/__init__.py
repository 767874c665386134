"""The outside world, one module per outside thing; nothing here decides."""
