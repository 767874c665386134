"""Bring a checkout into being and keep it right: install, configure, adopt, update."""
