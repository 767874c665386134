"""Decisions as pure functions: facts come in as arguments, decisions go out as values."""
