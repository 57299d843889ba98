"""`seqvae play`: a page on this machine on which models are tried out."""
