"""The quiz of chapter 3."""

from posebook._links import See
from posebook.ask import Option, Question

QUIZ = (
    Question(
        "3-a",
        "Code that brings points back from a crop takes the corner of COCO's box and adds s times the crop's pixel, "
        "where s is how many px of the picture one crop pixel covers. For whom is it right?",
        (
            Option("For large people: half a pixel is nothing to them.",
                   "The error is (1 − s) / 2 px, so that it is the larger, the larger the box: 1.5 px at s = 4 "
                   "(section 3.2)."),
            Option("For those whose box is as large as the crop, s = 1.",
                   "There the half pixels of box and crop cancel, so that a test with such a box finds nothing; else "
                   "all points are (1 − s) / 2 px off (section 3.2).", right=True),
            Option("For nobody: half a pixel is always missing.",
                   "The box starts at an edge and the crop at a middle, but the two differences cancel where one crop "
                   "pixel is one pixel (section 3.2)."),
            Option("For small people, whose crops are enlarged.",
                   "At s = 1/2 it is still 0.25 px off, and a quarter of a pixel counts for more on a small person "
                   "(sections 3.2 and 3.8)."),
        ),
    ),
    Question(
        "3-b",
        "Two people happen to have exactly the same mean tag. What does the push of associative embedding do to the "
        "tags?",
        (
            Option("It drives them apart, the hinge with its full force of 1.",
                   "The hinge has that force from just above 0 up to the margin. At 0 it has none: neither direction "
                   "is away (section 3.3)."),
            Option("The Gaussian drives them apart, the hinge does not.",
                   "The Gaussian's force is proportional to the distance where people are near each other: at 0 it is "
                   "0 as well (section 3.3)."),
            Option("Nothing, whichever push it is.",
                   "Where the means are equal, neither has a direction. Only a difference that comes from elsewhere "
                   "can part them, such as a network that sees the two differently (sections 3.3 and 3.5).", right=True,
                   see=See("tags", "after 300 steps both mean tags are 0.00 still", gap=0.0, steps=300.0)),
            Option("Nothing, but the pull drives them apart.",
                   "Pull draws each tag to the mean of its own person, and on each person its forces add up to 0: it "
                   "moves no mean (section 3.3)."),
        ),
    ),
    Question(
        "3-c",
        "Each tag lies within 0.2 of its person's center, and the centers are 1 or more apart. With which threshold "
        "does grouping never go wrong?",
        (
            Option("0.2",
                   "That is how far a tag is from its center, but the grouping knows no centers: two tags of one "
                   "person can be 0.4 apart (section 3.4)."),
            Option("0.5",
                   "It has to be above 2 · 0.2, so that nobody is split, and below 1 − 2 · 0.2, so that nobody joins "
                   "a neighbor (section 3.4).", right=True),
            Option("0.8",
                   "Tags of two people can be as near as 0.6, so that one may join a neighbor who has shown a single "
                   "tag so far (section 3.4)."),
            Option("1",
                   "The centers are that far apart, but the grouping compares tags and means of a few tags, which can "
                   "be nearer (section 3.4)."),
        ),
    ),
    Question(
        "3-d",
        "A wrist is found and so is the shoulder, but the elbow between them is hidden. What becomes of the wrist?",
        (
            Option("By limbs it joins nobody; by tags it can still join its person.",
                   "A wrist has one limb, which leads to the elbow. A tag needs no neighbor: it is compared with the "
                   "person's mean (sections 3.4 and 3.7).", right=True),
            Option("By limbs it joins the shoulder; by tags it is lost.",
                   "No limb runs from the shoulder to the wrist, so that no field speaks of them (section 3.7). Tags "
                   "do not need the elbow (section 3.4)."),
            Option("It is lost either way.",
                   "It is lost by limbs. A tag is compared with the mean of the person's tags, whichever of them were "
                   "found (section 3.4)."),
            Option("It joins its person either way.",
                   "By tags, yes. By limbs a keypoint whose neighbors are hidden hangs on nothing (section 3.7)."),
        ),
    ),
    Question(
        "3-e",
        "A keypoint's similarity is 0.9. The same keypoint is as many px off on a person half as tall and half as "
        "wide. What is its similarity now?",
        (
            Option("0.9: the error in px is the same.",
                   "OKS measures the error against the person's size (section 3.8)."),
            Option("0.81",
                   "0.9² belongs to half the area. Half as tall and half as wide is a quarter of it (section 3.8)."),
            Option("0.66",
                   "The area divides the exponent and is a quarter of what it was: 0.9⁴ (section 3.8). So small people "
                   "need smaller errors.", right=True,
                   see=See("precision", "6 px leave a person of 70 px an OKS of 0.44; move height 2 to 160",
                           third="none", height=70.0)),
            Option("0.45",
                   "A similarity is not proportional to the size: the size stands in the exponent, which becomes four "
                   "times as large (section 3.8)."),
        ),
    ),
    Question(
        "3-f",
        "A detector finds everybody. Now it says one wrong pose more in each picture, with a score below those of all "
        "right ones. What happens to its average precision?",
        (
            Option("It falls by half, as half of the poses are wrong.",
                   "That is the precision at the list's end. AP reads the precision where a recall is first reached, "
                   "and there no wrong one has come yet (section 3.9)."),
            Option("It falls a little, at the end of the curve.",
                   "Nothing is read beyond the last right pose (section 3.9)."),
            Option("It rises, because more poses mean more recall.",
                   "Recall counts people who were found (section 3.9), and they had been found before."),
            Option("Nothing.",
                   "Wrong poses cost something only if a right one comes after them (section 3.9). The same with "
                   "doubles: what counts is where they stand in the list (section 3.11).", right=True,
                   see=See("precision", "detection 3 finds nobody, has the lowest score, and costs nothing")),
        ),
    ),
    Question(
        "3-g",
        "The annotations themselves, put in as detections, have an AP of 1. Your detector's AP is 0.000, though its "
        "poses look right in its crops. What is the likely cause?",
        (
            Option("All its scores are 1.",
                   "Scores decide the order alone. Equal ones cost a part of the AP, not all of it (section 3.10)."),
            Option("The file has the area of the box for that of the person.",
                   "That makes the area larger and the AP too high, not 0 (section 3.10)."),
            Option("It finds everybody twice.",
                   "Doubles cost nearly half of the AP at worst, not all of it (section 3.11)."),
            Option("Its points are in px of the crop, not of the picture.",
                   "Then nearly no pose fits a person, whatever the scores are (section 3.10). Bring points back by "
                   "the crop's grid (section 3.2).", right=True),
        ),
    ),
)
