"""Property tests call compiled loops: the first call compiles and is no measure of a deadline."""

from hypothesis import settings

settings.register_profile("compiled", deadline=None)
settings.load_profile("compiled")
