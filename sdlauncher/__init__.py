"""Install, configure, start, keep alive and verify a Stable Diffusion WebUI."""

__version__ = "0.1.0"
