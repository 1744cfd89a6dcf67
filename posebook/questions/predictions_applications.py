"""Chapter 5: what each section asks to predict."""

from posebook.ask import Option, Question

PREDICTIONS = (
    Question("5.1", "Two cameras 24 cm apart, focal length 600 px, a wrist 2 m away, half a pixel of error on each "
             "coordinate. How wrong is its depth?", (
        Option("about 1 mm", "That is the error across the view, 1.18 mm."),
        Option("about 20 mm", "Z² / (f b) · √2 σ = 19.6 mm: 17 times as much as across.", right=True),
        Option("about 200 mm", "So it would be at some 6.4 m: it grows with the square of the distance."),
    )),
    Question("5.2", "Two cameras 24 cm apart, argmax on noisy maps: the wrist is 100 mm off. Which brings more, DARK "
             "or a right angle between the cameras?", (
        Option("DARK, by far", "It divides the error by 9.2, and the right angle does as much."),
        Option("the right angle, by far", "It divides the error by 9.7, and DARK does as much."),
        Option("both about the same, a factor of 9 to 10", "And they multiply: 99.5 mm become 1.1.", right=True),
    )),
    Question("5.3", "Each of the views is off by 0.5 px, one of them by 5 px. Who can notice, and who can name it?", (
        Option("Two cameras notice each such error; three name it.",
               "Two side by side do not see an error along their line, and three in a row cannot name it there."),
        Option("Two can neither notice nor name; three can do both.",
               "Two measure four numbers and fit three: one is left to disagree."),
        Option("Two notice many, and name none; three notice, and do not always name it rightly.",
               "Along their own line three cameras in a row leave two that always agree.", right=True),
    )),
    Question("5.4", "Argmax on clean maps, without any noise. When does the hand tremble most?", (
        Option("while the wrist is still", "Then its cell is still, too: the hand is at rest, in the wrong place."),
        Option("at 3 cm/s",
               "The error stays for many frames, then jumps to the next cell, and the hand follows.", right=True),
        Option("at 1 m/s", "There the error changes from frame to frame, and the arm averages it: 19 mm."),
    )),
    Question("5.5", "Eight actions, equally frequent; two of them are the same film forward and backward. A "
             "classifier gets the frames in random order, and is otherwise perfect. How often is it right?", (
        Option("3/4",
               "So it would be if it never named either of the two rightly; a guess is right half of the time."),
        Option("7/8", "Six of eight are found, and half of the other two.", right=True),
        Option("1/8", "One frame tells most actions; only the pair needs the order."),
        Option("always", "The two films have the same frames: shuffled, nothing tells them apart."),
    )),
    Question("5.6", "Three nets read pixels, centered pixels, or normalized ones. Which survives when the camera is "
             "turned about its axis of sight by 90 degrees?", (
        Option("the normalized one", "Place and size are divided away; the turn is not."),
        Option("the one on pixels", "It has seen no such people either: below 0.30."),
        Option("none", "All are below 0.30, and at 45 degrees the normalized one is the worst.", right=True),
    )),
    Question("5.7", "On a coarse map argmax is off by 0.29 cells, with noise by 0.52. From which does a network read "
             "actions better, where a torso has 1 or 2 cells?", (
        Option("from the noisy one",
               "Noise turns an error that stays into one that changes, and the net averages over time.", right=True),
        Option("from the clean one: its error is half as large",
               "But it stays over the film, and nothing averages it."),
        Option("it makes no difference", "So it is with 4 or 8 cells for a torso, where both are small."),
    )),
    Question("5.8", "A low-pass filter halves the trembling of a resting hand. How many frames late is it, and how "
             "many for a quarter of the trembling?", (
        Option("1 and 2", "(1 / q² − 1) / 2 is more than that, most of all for a quarter."),
        Option("1.5 and 7.5", "(1 / q² − 1) / 2 frames, with q = 1/2 and 1/4.", right=True),
        Option("2 and 4", "That grows with 1 / q; the lag grows with its square."),
    )),
    Question("5.9", "A square marker is seen at a slant. Is its middle seen at the mean of its four corners?", (
        Option("no: where the diagonals cross",
               "Straight lines stay straight, so that the diagonals still meet there.", right=True),
        Option("yes: the middle of a square is the mean of its corners",
               "On the marker. What is nearer looks larger, and the mean of what is seen is elsewhere."),
        Option("it depends on the size of the marker", "The crossing of the diagonals is right for every size."),
    )),
    Question("5.10", "Points with errors of 0.5 px. You fit a homography to 4, then 9, 16 and 36 points of a marker. "
             "What do the residual and the error of the cube do?", (
        Option("both fall", "The residual rises: a fit to few points takes most of their noise up."),
        Option("both rise", "More points make the fit better, though they fit it less closely."),
        Option("the residual falls, the cube gets worse", "It is the opposite, in both."),
        Option("the residual rises, the cube gets better",
               "Residual σ √(1 − 4/N): 0 for four points, whose cube is worst.", right=True),
    )),
    Question("5.11", "In the middle of a marker seen from the front the drawing is off by σ. How far off is it at "
             "three times the distance of its corners?", (
        Option("3 σ", "The perspective is uncertain as well, and that part grows with the square of the distance."),
        Option("9 σ", "√(1 + r⁴ / 4) with r = 3 √2: 9.06 σ.", right=True),
        Option("30 σ", "It grows with the square and not with the cube."),
    )),
    Question("5.12", "A marker lies still; its corners are read by argmax from perfect maps with stride 4. How does "
             "the cube tremble, and how when the marker glides by 0.1 px per frame?", (
        Option("not at all, then by some 2 px",
               "Still it is 4.68 px off and quiet; gliding, its corners jump from cell to cell.", right=True),
        Option("by some 2 px, then the same", "Without noise and motion each frame is read alike."),
        Option("not at all, then by some 0.1 px", "The corners do not glide: each jumps by 4 px, at its own time."),
    )),
    Question("5.13", "Errors of two groups are from one distribution, 2 px on each axis. People of the first cover "
             "600 px², of the second 300 px². By how much is the second mean OKS lower?", (
        Option("by nothing: the errors are the same", "OKS divides them by the size of the person."),
        Option("by a few hundredths",
               "Half the area halves κ², and that costs 0.13 here."),
        Option("by more than a tenth", "0.53 and 0.66: 0.13 from size alone.", right=True),
    )),
    Question("5.14", "Intervals at 95 % draw again people, or single similarities. Errors of one person's keypoints "
             "go together, with a correlation of 0.7. In how many of 100 studies do the second ones hold the true "
             "gap?", (
        Option("in about 95", "So do those that draw people."),
        Option("in fewer, such as 72",
               "So it is at 0.7: 17 keypoints of one person are not 17 people.", right=True),
        Option("in more, nearly all: there are more data",
               "Only without correlation: 99 there. With it, numbers that repeat each other make the interval too "
               "narrow."),
    )),
    Question("5.15", "Two studies with raw gaps of −0.07 and −0.18. In the first all errors are alike in px, in the "
             "second those of the smaller group have 80 % more variance. What is left at one size?", (
        Option("0.00 and −0.11", "The first gap was size alone; in the second there is more to it.", right=True),
        Option("0.00 and 0.00", "Larger errors stay larger at one size."),
        Option("−0.07 and −0.18", "Size made a part of both, and it is taken out."),
    )),
    Question("5.16", "The same scenes with the lightest and the darkest skin, and with people upright and bent. All "
             "tones were trained evenly. Which gap in OKS is larger?", (
        Option("neither is there", "Both are: −0.009 and −0.096, and neither paired interval holds 0."),
        Option("that of dark skin", "−0.009: small, and hardly chance."),
        Option("that of bent people", "−0.096, about ten times that of dark skin.", right=True),
    )),
)
