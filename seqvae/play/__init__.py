"""`seqvae play`: a page on this machine to try models in a browser."""
