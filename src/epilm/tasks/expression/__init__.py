"""How much of a gene there is in each cell type, from the bases around where it begins."""
