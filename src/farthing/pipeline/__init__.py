"""The journey of one request: read `answer` first."""
