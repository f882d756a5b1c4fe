"""The files and rules of the ENCODE-DREAM challenge."""
