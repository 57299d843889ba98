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
ORANGE_RGB, BLUE_RGB, GREEN_RGB = (230, 159, 0), (86, 180, 233), (0, 158, 115)
MISSING, MISSING_RGB = PURPLE, (204, 121, 167)
"""Of missing frames: no method has this colour."""
LINES = (BLUE, ORANGE, GREEN, RED, SKY, BLACK, PURPLE)
