"""Arms x settings x seeds, into one table and page."""
