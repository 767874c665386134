"""The words that the model was trained on: their roles, their synonyms and the order of its embeddings."""

from __future__ import annotations

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (222, 38, 44),
    "orange": (247, 139, 26),
    "yellow": (252, 214, 40),
    "green": (46, 162, 68),
    "cyan": (52, 203, 214),
    "blue": (34, 84, 214),
    "purple": (134, 52, 178),
    "pink": (250, 140, 186),
    "brown": (124, 78, 44),
    "white": (248, 248, 246),
    "gray": (138, 140, 146),
    "black": (22, 22, 28),
}
SHAPES = (
    "circle", "square", "triangle", "star", "heart", "moon", "ring", "cross", "diamond",
    "flower", "house", "tree", "fish", "cat", "sun", "mushroom", "boat", "cloud",
)  # fmt: skip
SCENES = ("night", "sea", "hills", "snow", "sunset", "desert")
TEXTURES = ("striped", "dotted", "gradient")
SIZES = ("small", "big")
PLACES = ("left", "right", "top", "bottom", "centre")
EFFECTS = ("outlined", "glowing")

#: What a word can say, and about what. The order is the order of the rows of the embedding: append only.
ROLES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "texture": TEXTURES,
    "size": SIZES,
    "place": PLACES,
    "effect": EFFECTS,
    "ground": tuple(COLOURS),
    "ground_texture": TEXTURES,
    "scene": SCENES,
    "second_shape": SHAPES,
    "second_colour": tuple(COLOURS),
}
TOKENS: tuple[str, ...] = tuple(f"{role}:{word}" for role, words in ROLES.items() for word in words)
INDEX: dict[str, int] = {token: row for row, token in enumerate(TOKENS)}

SYNONYMS: dict[str, str] = {
    "crimson": "red", "scarlet": "red", "ruby": "red", "golden": "yellow", "gold": "yellow", "lime": "green",
    "emerald": "green", "turquoise": "cyan", "teal": "cyan", "aqua": "cyan", "navy": "blue", "azure": "blue",
    "violet": "purple", "magenta": "pink", "rose": "pink", "grey": "gray", "silver": "gray", "dark": "black",
    "ball": "circle", "disc": "circle", "disk": "circle", "box": "square", "block": "square",
    "love": "heart", "crescent": "moon", "donut": "ring", "doughnut": "ring", "torus": "ring", "plus": "cross",
    "rhombus": "diamond", "daisy": "flower", "blossom": "flower", "cottage": "house", "home": "house", "hut": "house",
    "kitten": "cat", "kitty": "cat", "sunshine": "sun", "toadstool": "mushroom", "ship": "boat", "sailboat": "boat",
    "galaxy": "night", "space": "night", "starry": "night", "midnight": "night", "ocean": "sea", "water": "sea",
    "waves": "sea", "lake": "sea", "hill": "hills", "meadow": "hills", "field": "hills", "grass": "hills",
    "mountains": "hills", "landscape": "hills", "winter": "snow", "snowy": "snow", "snowfall": "snow",
    "dusk": "sunset", "dawn": "sunset", "sunrise": "sunset", "evening": "sunset", "sand": "desert", "dunes": "desert",
    "stripes": "striped", "stripe": "striped", "stripy": "striped", "dot": "dotted", "dots": "dotted",
    "polka": "dotted",
    "spotted": "dotted", "spots": "dotted", "shaded": "gradient", "little": "small", "tiny": "small", "mini": "small",
    "large": "big", "huge": "big", "giant": "big", "upper": "top", "above": "top", "lower": "bottom", "below": "bottom",
    "center": "centre", "middle": "centre", "centered": "centre", "centred": "centre", "outline": "outlined",
    "cartoon": "outlined", "sticker": "outlined", "glow": "glowing", "shining": "glowing", "shiny": "glowing",
    "bright": "glowing", "neon": "glowing",
}  # fmt: skip

#: Words that name the ground that a colour or a texture before them belongs to.
GROUNDS = frozenset({"background", "backdrop", "ground", "bg", "wall", "paper", "sky"})
#: Words after which a colour without a noun of its own is the ground's ("a heart on blue").
LEADING_TO_GROUND = frozenset({"on", "against", "over", "upon"})
#: Words that carry nothing for this model, yet are no surprise in a sentence.
SILENT = frozenset(
    {
        "a", "an", "the", "of", "with", "and", "or", "at", "to", "from", "by", "is", "are", "its", "it", "this", "that",
        "one", "there", "picture", "image", "drawing", "painting", "photo", "illustration", "side", "corner",
        "coloured", "colored", "color", "colour", "simple", "behind", "front", "very", "under", "near", "full", "in",
    }
)  # fmt: skip
