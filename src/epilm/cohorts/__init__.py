"""Cohorts: people's genotypes read, a model's word on them, and what is simple."""
