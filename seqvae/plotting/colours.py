"""Okabe and Ito's palette: distinguishable for colour-blind readers; line styles distinguish the
curves in grey.
"""

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
LINES = (BLUE, ORANGE, GREEN, RED, SKY, PURPLE, BLACK)
ORANGE_RGB, BLUE_RGB = (230, 159, 0), (86, 180, 233)
