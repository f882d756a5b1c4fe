"""Cohorts: people's genotypes read, turned into features of a model, judged beside what is simple."""
