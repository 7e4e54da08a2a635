"""The demo: simulated models, real questions at the pace of a real trace, the real gateway between them."""
