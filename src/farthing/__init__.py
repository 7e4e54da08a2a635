"""Farthing: an LLM gateway that makes every request cost less and answer sooner, and proves it."""

__version__ = "0.1.0"
