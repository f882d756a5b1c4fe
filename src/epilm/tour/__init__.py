"""The demo: the whole road on an invented genome."""
