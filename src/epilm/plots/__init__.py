"""Pictures: tables in, axes out. The one place that imports matplotlib (Agg, no display)."""
