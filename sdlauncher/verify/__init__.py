"""Check what runs: health, pictures, speed, and what a log means."""
