"""The quiz of chapter 5."""

from posebook._links import See
from posebook.ask import Option, Question

QUIZ = (
    Question(
        "5-a",
        "Two cameras look straight ahead, side by side. You double the distance to the wrist and the distance between "
        "the cameras. What happens to its error in mm?",
        (
            Option("Nothing: the rays cross at the same angle.",
                   "The angle is the same, but a pixel is twice as wide at twice the distance (section 5.1)."),
            Option("It doubles across the view, and becomes four times as large along it.",
                   "So it does if the cameras stay. Twice the baseline halves the error along the view "
                   "(section 5.1)."),
            Option("It doubles, across the view and along it.",
                   "Across it goes with the depth Z; along it with Z² / b, and 4 / 2 is 2 "
                   "(section 5.1).", right=True,
                   see=See("cameras", "2.37 mm across, 39.43 mm along: twice what the start shows",
                           depth=4.0, baseline=0.48)),
            Option("It doubles across the view and stays along it.",
                   "Twice the baseline makes up for half of the four times that Z² brings, not for all of it "
                   "(section 5.1)."),
        ),
    ),
    Question(
        "5-b",
        "Two cameras side by side see a wrist. One view is 5 px off, along the line that joins the cameras. What do "
        "the residuals say?",
        (
            Option("2.5 px in each view.",
                   "So it is for an error across that line: the rays then miss each other (section 5.3). Along it they "
                   "still meet."),
            Option("5 px in the wrong view and 0 px in the other.",
                   "The fit spreads what it cannot explain over the views (section 5.3). Here it can explain all of "
                   "it, by another depth."),
            Option("Nothing: they are 0.",
                   "A point nearer or farther away explains both views. Two cameras cannot notice such an error, and "
                   "the wrist is wrong in depth (sections 5.1 and 5.3).", right=True),
            Option("They are large, but not whose fault it is.",
                   "That is three cameras in a row (section 5.3). With two, this error leaves no trace."),
        ),
    ),
    Question(
        "5-c",
        "A wrist rests. Argmax on clean maps says the same place in each frame, 1.5 px beside the truth. You filter "
        "over time. What is left of the error?",
        (
            Option("1.5 px",
                   "A low-pass filter takes what changes from frame to frame, and this error stays. Calm is not right "
                   "(sections 5.4 and 5.8).", right=True),
            Option("About 0 px after many frames.",
                   "Errors that are drawn anew average out. This one is the same in each frame (sections 5.4 "
                   "and 5.7)."),
            Option("0.75 px, if the filter halves the jitter.",
                   "Half of the jitter is half of what trembles (section 5.8). Here nothing trembles."),
            Option("1.5 px, but some frames late.",
                   "A filter is late where something moves (section 5.8). Here nothing does."),
        ),
    ),
    Question(
        "5-d",
        "You fit a homography to the four corners of a marker. One corner was read 20 px beside its place. How large "
        "are the residuals?",
        (
            Option("20 px at this corner, 0 px at the others.",
                   "The fit does not know which corner is wrong. It has eight numbers for eight coordinates and takes "
                   "all of them as they are (section 5.10)."),
            Option("About 5 px at each corner.",
                   "A fit spreads an error only if it cannot follow it. Four corners it can follow exactly "
                   "(section 5.10)."),
            Option("0 px.",
                   "Eight numbers can say anything about eight coordinates: a residual of four points is no sign of "
                   "accuracy. More points make it larger and the fit better (section 5.10).", right=True),
            Option("Not defined: there is no homography through such corners.",
                   "There is one through any four points of which no three are on a line (sections 5.9 and 5.10)."),
        ),
    ),
    Question(
        "5-e",
        "A network names actions from skeletons that were normalized: hips subtracted, divided by the length of the "
        "torso. Which change alters what it reads?",
        (
            Option("The camera is rolled by 90 degrees.",
                   "Normalization removes place and size and nothing else: people now lie, and all nets are lost "
                   "(section 5.6).", right=True),
            Option("The picture is made half as large.",
                   "All differences halve, and so does the torso: the quotient stays (section 5.6)."),
            Option("The picture is cut so that the person stands 150 px further left.",
                   "The hips move along, and the differences to them stay (section 5.6)."),
            Option("A lens with twice the focal length, the camera in its place.",
                   "That makes everything twice as large in the picture, the torso too (section 5.6)."),
        ),
    ),
    Question(
        "5-f",
        "Errors in px have the same distribution in two groups, but the second one covers half the area in pictures, "
        "and its mean OKS is 0.13 lower. What do you report?",
        (
            Option("That the network serves the second group worse; it needs more training there.",
                   "Perhaps, but this gap does not show it: OKS judges small people more strictly, and size alone can "
                   "make it (section 5.13)."),
            Option("No gap, as the errors in px are alike.",
                   "Who needs a wrist's place on a small person does get a worse pose for her size: the raw gap says "
                   "so (section 5.15)."),
            Option("Only the gap at one size, as it alone is fair.",
                   "It says whether there is more to it than size. Whose poses are worse for their size, the raw one "
                   "says (section 5.15)."),
            Option("The raw gap, the sizes, and the gap at one size, which is about 0.",
                   "Each answers a question of its own, and without the sizes nobody can tell them apart "
                   "(sections 5.13 and 5.15).", right=True,
                   see=See("gap", "the raw gap is -0.129, and at one size the true gap is 0", ratio=0.5, n=400)),
        ),
    ),
    Question(
        "5-g",
        "Imagine that all 17 similarities of a person were equal, while people differ. An interval for a gap draws "
        "similarities again, not people. How far is it off?",
        (
            Option("It is about right: there are 17 times as many values.",
                   "There are 17 copies of each value, which know no more than one (section 5.14)."),
            Option("It is about 4 times too narrow.",
                   "With r = 1 the variance of a mean is 17 times what it takes it to be, and the root of 17 is about "
                   "4 (section 5.14).", right=True,
                   see=See("gap", "errors fully related, similarities not quite: by keypoint it is 2.9 times narrower",
                           related=1.0)),
            Option("It is 17 times too narrow.",
                   "17 is the design effect, 1 + 16 r, which multiplies the variance. A width goes with its root "
                   "(section 5.14)."),
            Option("It is about 4 times too wide.",
                   "It takes copies for new evidence, so that it is too sure: too narrow (section 5.14)."),
        ),
    ),
)
