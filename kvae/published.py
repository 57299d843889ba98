"""Results of the KVAE paper (Fraccaro et al. 2017, Figure 3), digitised with an error of about
0.0002.

Fraction of wrong pixels on missing frames of the box dataset, with 5000 training sequences; the
first 4 frames are always observed.
"""

# Probability that a frame is dropped -> wrong pixels.
RANDOM = {
    "published, smoothing": {
        0.1: 0.0056,
        0.2: 0.0059,
        0.3: 0.0062,
        0.4: 0.0067,
        0.5: 0.0075,
        0.6: 0.0082,
        0.7: 0.0095,
        0.8: 0.0128,
        0.9: 0.0189,
        1.0: 0.0266,
    },
    "published, filtering": {
        0.1: 0.0078,
        0.2: 0.0077,
        0.3: 0.0082,
        0.4: 0.0088,
        0.5: 0.0100,
        0.6: 0.0115,
        0.7: 0.0124,
        0.8: 0.0157,
        0.9: 0.0213,
        1.0: 0.0266,
    },
}

# Missing frames in a row -> wrong pixels.
BLOCK = {
    "published, smoothing": {
        1: 0.0061,
        3: 0.0077,
        5: 0.0098,
        7: 0.0121,
        9: 0.0147,
        11: 0.0173,
        13: 0.0200,
        15: 0.0227,
    },
    "published, filtering": {
        1: 0.0085,
        3: 0.0116,
        5: 0.0147,
        7: 0.0175,
        9: 0.0200,
        11: 0.0222,
        13: 0.0237,
        15: 0.0258,
    },
}
