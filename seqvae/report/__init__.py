"""Pages that show what a run found: one HTML file that holds its pictures and movies."""

from seqvae.report.page import Section, Table, write_page

__all__ = ["Section", "Table", "write_page"]
