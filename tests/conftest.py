"""The same generated cases in every run, so that a change is judged by what it did.

`pytest --hypothesis-profile default` looks for new ones.
"""

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.load_profile("same")
