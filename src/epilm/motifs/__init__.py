"""Motifs: files, log-odds and exact cuts, hits, and the regions x factors matrix."""
