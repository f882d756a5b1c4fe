"""Raw files become a store, in named stages."""
