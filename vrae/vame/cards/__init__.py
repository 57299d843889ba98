"""Descriptions of motifs: bouts, measures, groups of sessions, movies and a report."""
