"""Free sentences that no part of either text encoder was made from, by the label they describe."""

from __future__ import annotations

from typing import Final

PARAPHRASES: Final[dict[str, tuple[str, ...]]] = {
    "jump": ("the kid jumps for joy", "springing off both feet", "an upward leap with the arms swinging",
             "he hops over a puddle", "a vertical jump, landing softly"),
    "kick": ("kicking at shin height", "a karate kick with the right leg", "she kicks the ball away",
             "the foot shoots forward into the air", "a sharp front kick"),
    "pick_up": ("he bends and picks his keys up", "gathering a toy from the carpet",
                "taking a parcel off the floor", "she lifts a bag from the ground",
                "stooping to collect litter"),
    "punch": ("throwing a left hook", "he punches the air twice", "a fighter's straight right",
              "shadow boxing", "she hits out with her fist"),
    "reach": ("reaching for the top shelf", "he extends his arm toward the door handle",
              "grasping for something in front", "stretching one hand up", "she reaches across the table"),
    "run": ("jogging round and round", "a sprinter at top speed", "running late for the bus",
            "she jogs gently along the path", "he races off"),
    "seated": ("sitting motionless on a stool", "the man remains in his chair", "she is seated at a desk",
               "he sits quietly without moving", "on a chair already, hands on the thighs"),
    "sit": ("lowering oneself onto a bench", "he takes a seat", "she sits down carefully",
            "going from standing to sitting", "the old man sits down in his armchair"),
    "squat": ("a deep knee bend", "doing squats at the gym", "crouching low and coming up again",
              "he squats halfway", "bending both knees until the hips are low"),
    "stand": ("rising from the sofa", "he gets to his feet", "she stands up from her seat",
              "getting up after a meal", "going from sitting to standing"),
    "turn": ("turning to look behind", "she spins on her heel", "a half turn to the left",
             "he rotates on the spot", "swivelling around to the right"),
    "walk": ("taking a stroll in the park", "he walks slowly forward", "an old lady walking home",
             "pacing up and down", "marching straight ahead"),
    "wave": ("waving goodbye to a friend", "she waves her left hand", "a greeting with a raised arm",
             "he waves to the crowd", "swaying one hand overhead to say hello"),
}  # fmt: skip
"""Five sentences for each label; the encoders were settled before these were written."""
