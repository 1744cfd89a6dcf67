"""Chapter 3: what each section asks to predict."""

from posebook.ask import Option, Question

PREDICTIONS = (
    Question("3.1", "Two wrists are 3 cells apart, the Gaussians 2 cells wide. How many peaks does the sum have, and "
             "how many the larger of the two in each cell?", (
        Option("both have two", "The sum has two only beyond 2 σ = 4 cells."),
        Option("both have one",
               "The larger value falls with the distance to the nearest wrist, so that each wrist is a peak."),
        Option("the sum at most one, the larger value two",
               "Below 2 σ the sum flows together, here into a plateau; the larger value has a peak of 1 at each "
               "wrist.", right=True),
    )),
    Question("3.2", "A crop of 64 × 64 px shows 256 × 256 px. The code takes the corner of COCO's box, where 0 is "
             "the picture's edge, and adds 4 times the crop's pixel. How far off is it?", (
        Option("not at all",
               "So it would be where a crop pixel is a picture pixel; 4 of them have their middle elsewhere."),
        Option("half a pixel", "That is the edge of the picture's first pixel; the crop's pixel is 4 px wide, too."),
        Option("1.5 px", "(1 − s) / 2 with s = 4, on both axes.", right=True),
    )),
    Question("3.3", "Two people have mean tags of 0 and 5, and the loss wants them at least 1 apart. What pushes "
             "them?", (
        Option("nothing", "A hinge pushes up to its margin and not beyond.", right=True),
        Option("the hinge, with a force of 1", "So it does while they are nearer than the margin."),
        Option("the hinge, by 5 − 1 = 4", "It punishes being too near; being far is free."),
    )),
    Question("3.4", "No tag is farther than r from its person's center, the centers at least m apart. From when on "
             "can a threshold group them without fail?", (
        Option("m > 2r", "So it is for who knows the centers. The grouping only has tags to compare with."),
        Option("m > 3r", "Two tags of one person may be 2r apart, and tags of two people m − 2r: that needs more."),
        Option("m > 4r", "A threshold has to lie between 2r and m − 2r.", right=True),
    )),
    Question("3.5", "Twins stand far apart, and a network of convolutions of stride 1 sees neither the other twin "
             "nor a border. How long must you train until push is 0?", (
        Option("some more steps than for other people",
               "Each step changes both tags alike: their difference has no slope along any weight."),
        Option("as long as for other people: looks do not matter",
               "A tag is computed from what is seen, and that is the same."),
        Option("forever",
               "The same weights see the same, and so give the same tag, whatever the weights are.", right=True),
    )),
    Question("3.6", "People have mean tags 0 and 1, T = 1.2. Two wrists come, with tags 0.45 and −0.5, in this "
             "order. Who gets which, greedy and optimal?", (
        Option("greedy loses the second; optimal gives the first to 1, the second to 0",
               "Greedy takes the nearer one, 0.45 away, and nobody is left for the second within 1.2.", right=True),
        Option("both: the first to 0, the second to 1",
               "The second is 1.5 away from 1, which is beyond T: greedy begins a third person."),
        Option("both: the first to 1, the second to 0", "Greedy does not look ahead: 0 is nearer to 0.45 than 1 is."),
    )),
    Question("3.7", "Two forearms cross like an X; for both wrists the other elbow is nearer. Can a map with one "
             "vector for each cell sort this out?", (
        Option("Yes: the right pair scores about 1, a wrong one far less.",
               "0.97 against 0.38: the way to another's wrist leaves the limb and runs askew.", right=True),
        Option("No: at the crossing one of the two is lost.",
               "Only a few cells are shared; the mean runs along the whole way."),
        Option("Only with exact fields, not under noise.",
               "With noise of 0.5 and five samples 75 of 75 crossings were right."),
    )),
    Question("3.8", "What is visible of a person covers as much as 96 × 96 px. Nose and hip were both found 10 px "
             "off. What are their similarities?", (
        Option("about 0.5 each",
               "That is their mean. Each is judged by how far annotators are off at that keypoint."),
        Option("nose 0.1, hip 0.9", "0.134 and 0.888: κ is 5 px at the nose and 20 px at the hip.", right=True),
        Option("nose 0.9, hip 0.1", "It is the opposite: a nose is easy to point at, so that 10 px are much."),
        Option("0 each", "At the hip 10 px are half of κ, as far as an annotator is off."),
    )),
    Question("3.9", "Three people; five poses, by falling score right, right, wrong, wrong, right. What is the "
             "average precision?", (
        Option("0.60, as 3 of 5 are right",
               "That is the precision at the end; the first two thirds of recall have 1."),
        Option("about 0.87", "67 readings of 1 and 34 of 3/5, over 101.", right=True),
        Option("1, as all three are found", "The last one is found after two wrong poses, and pays for them."),
    )),
    Question("3.10", "A detector's scores know roughly how large its errors are. Which change raises its AP most?", (
        Option("throwing away detections with a low score", "It never helps: the list only ends earlier."),
        Option("perfect scores", "They gain 0.017 here, since the scores were good already."),
        Option("the area of the box for that of the person",
               "From 0.465 to 0.667, and wrongly so: a box is larger, so that all errors look smaller.", right=True),
    )),
    Question("3.11", "100 people are found exactly, and each of them twice. Each double comes right behind its "
             "original. What is the AP?", (
        Option("1: everybody is found", "So it is where all doubles come after all others."),
        Option("about 0.75", "Precision is near 1/2 at nearly all places of the list, and COCO reads it there."),
        Option("about 0.5", "0.521: every second detection is wrong, from the top of the list on.", right=True),
    )),
    Question("3.12", "People are pushed together until nearly all stand behind one another. One detector is told a "
             "box around each. What is left of its AP50?", (
        Option("about half, and of the others' somewhat less",
               "About 0.5 of it, against 0.45 by tags and 0.35 by limbs.", right=True),
        Option("nearly all: a box singles her out",
               "What is hidden is hidden in the crop, too, and neighbors reach in."),
        Option("less than of the others': it cannot see the whole", "It stays ahead at each of the four crowdings."),
    )),
    Question("3.13", "She stands in the middle and does not move. He walks past her from the left edge to the right "
             "one. What becomes of her tag?", (
        Option("it changes its sign",
               "Above 0.30 with him on her left, below −0.30 with him on her right.", right=True),
        Option("it stays: she has not changed", "A tag says where she is among the others, and that has changed."),
        Option("it fades to 0 while he is near",
               "It passes 0 on the way, and goes on: with him on the other side she has the other place."),
    )),
    Question("3.14", "Pictures of 192 × 256 px, crops of 64 × 64 px, networks of one width. From how many people on "
             "does top-down compute more?", (
        Option("3", "A pass over 192 × 256 px has as many pixels as 12 crops."),
        Option("15", "One pass costs as much as 14.9 crops.", right=True),
        Option("60", "That would be a picture with four times the pixels."),
    )),
    Question("3.15", "Two detectors trained for crowds, one on the whole picture and one on a crop around each "
             "person. Which error costs each of them most?", (
        Option("left taken for right", "It costs less than misses do, for each of the three detectors."),
        Option("a neighbor's joints", "Swaps are there, top-down too, but they cost less than misses."),
        Option("points that are nowhere near",
               "Misses cost more than 0.05 of AP, for tags, limbs and top-down.", right=True),
        Option("false or missed people",
               "Dozens of false people cost bottom-up little, and top-down was told the boxes."),
    )),
    Question("3.16", "By tags or by limbs AP50 was much the same. Which has the higher AP, over stricter thresholds "
             "as well?", (
        Option("tags",
               "By more than 0.03: limbs lack one labeled joint in seven, and OKS counts them as 0.", right=True),
        Option("limbs: no joint is better than a wrong one",
               "To OKS a missing joint is as wrong as a wrong one: both count 0."),
        Option("again both the same",
               "AP75 is apart by more than 0.05: strict thresholds do not forgive missing joints."),
    )),
)
