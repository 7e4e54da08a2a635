"""Stores of responses, a file each."""
