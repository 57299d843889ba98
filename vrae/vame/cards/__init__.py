"""From motifs to what they are: bouts, measures, groups of sessions, movies and a page."""
