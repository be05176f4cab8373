"""A busy machine is no failure: no example of a property has to be quick."""

from hypothesis import settings

settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
