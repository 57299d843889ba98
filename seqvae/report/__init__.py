"""Reports of runs: one HTML file each, which holds its pictures and movies."""

from seqvae.report.page import Section, Table, write_page
from seqvae.report.run_page import how_it_was_made, newest, write_run_page

__all__ = ["Section", "Table", "how_it_was_made", "newest", "write_page", "write_run_page"]
