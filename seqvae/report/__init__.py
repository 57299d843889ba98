"""HTML reports of a run: one file with its pictures and movies."""

from seqvae.report.page import Section, Table, write_page

__all__ = ["Section", "Table", "write_page"]
