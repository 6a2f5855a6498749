"""The wiring of the roof: what app.py's commands put together from both wings."""
