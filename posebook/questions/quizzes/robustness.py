"""The quiz of chapter 4."""

from posebook._links import See
from posebook.ask import Option, Question

QUIZ = (
    Question(
        "4-a",
        "You turn a picture by 30 degrees and then back by 30 degrees. What do you have, away from the corners?",
        (
            Option("A smoother picture, with everything in its place.",
                   "Each turn by interpolation is a low-pass filter. It takes fine detail and leaves the centers of "
                   "blobs (section 4.2). So turn once, and turn the original.", right=True),
            Option("The picture as it was: a turn can be undone.",
                   "That holds for points (section 4.1). Each new pixel is a mean of four old ones, and a mean cannot "
                   "be undone (section 4.2)."),
            Option("The picture as it was, but moved by half a pixel.",
                   "A wrong middle, W/2 in place of (W − 1)/2, moves points (section 4.1), but on the way back as far "
                   "the other way. What is lost is detail (section 4.2)."),
            Option("The picture as it was: the second turn takes back what the first one blurred.",
                   "Two filters in a row blur more than one (section 4.2); only multiples of 90 degrees cost "
                   "nothing."),
        ),
    ),
    Question(
        "4-b",
        "A detector ignores the picture and says the middle of the picture for every keypoint. How large is its error "
        "of equivariance under turns about the middle?",
        (
            Option("As large as its error, since it is wrong everywhere.",
                   "Equivariance compares two of its own answers, not an answer with the truth (section 4.1)."),
            Option("It grows with the angle.",
                   "So it can be with a network, whose filters do not turn (section 4.4). Here both answers are the "
                   "middle, at each angle."),
            Option("0",
                   "The middle turned is the middle: it is exactly equivariant and of no use. As with the average over "
                   "quarter turns, equivariant does not mean right (section 4.5).", right=True),
        ),
    ),
    Question(
        "4-c",
        "You lower dropout's p before a linear layer from 0.5 to 0.2 and train nothing anew. What happens to dropout's "
        "variance, and to the error of the answers without dropout?",
        (
            Option("The variance falls to a quarter, and so does the mean squared error.",
                   "p / (1 − p) does fall from 1 to 1/4, but this comes from p alone: no error is in it "
                   "(section 4.7).",
                   see=See("dropout", "move p: what is claimed moves along, and the real error, 9.0 px, does not",
                           p=0.53)),
            Option("The variance falls to 0.4 of what it was, and the error stays.",
                   "The variance goes with p / (1 − p), not with p: what is kept is divided by 1 − p (section 4.7)."),
            Option("The variance stays, since the network is the same, and the error stays.",
                   "The variance depends on the weights, the input and p (section 4.7), and p has changed."),
            Option("The variance falls to a quarter, and the error stays.",
                   "p / (1 − p) falls from 1 to 1/4. You chose that number; the network has not become better "
                   "(section 4.7).", right=True),
        ),
    ),
    Question(
        "4-d",
        "A keypoint's errors are Gaussian, with a standard deviation of κ on each axis: its mean similarity is 0.5. "
        "You halve the standard deviation. What is the mean similarity now?",
        (
            Option("0.67",
                   "That is κ² / (κ² + v) for half the variance. Half the standard deviation is a quarter of the "
                   "variance (section 4.8)."),
            Option("0.8",
                   "The mean is κ² / (κ² + v), and v is now κ² / 4: 1 / (1 + 1/4) (section 4.8).", right=True),
            Option("1: the error is now within the annotators' spread.",
                   "Only an error of 0 has a similarity of 1, and κ is twice the annotators' spread: they do not reach "
                   "1 either (section 4.8)."),
            Option("0.25",
                   "Smaller errors make the similarity larger: it is 1 where nothing is wrong (section 4.8)."),
        ),
    ),
    Question(
        "4-e",
        "You know how far a wrist was off in nine pictures, and want a circle that holds it in 95 of 100 new ones, "
        "whatever the distribution. Which radius?",
        (
            Option("The largest of the nine.",
                   "A tenth distance is the largest of ten with probability 1/10: this promises 90 of 100 "
                   "(section 4.10)."),
            Option("Their mean plus two standard deviations.",
                   "That leans on a Gaussian. With a heavy tail it may hold far less often, and nobody promised you "
                   "the distribution (section 4.10)."),
            Option("None that is finite.",
                   "It would have to be the 10th smallest of nine. From 19 pictures on there is one "
                   "(section 4.10).", right=True,
                   see=See("conformal", "of ten pictures the 11th smallest distance is wanted: the circle is infinite",
                           n=10, alpha=0.09)),
            Option("1.05 times the largest of the nine.",
                   "No factor helps: how far the next distance lies beyond the largest depends on a distribution that "
                   "you do not know (section 4.10)."),
        ),
    ),
    Question(
        "4-f",
        "Circles from daylight pictures are promised to hold the truth in at least 90 of 100 pictures. At night they "
        "hold it in 58. What went wrong?",
        (
            Option("The radius came from too few pictures.",
                   "More pictures make one radius scatter less around its promise. They are still of daylight "
                   "(section 4.10)."),
            Option("The distances are not Gaussian.",
                   "The promise asks for no distribution (section 4.10)."),
            Option("The network was not calibrated first.",
                   "The promise holds whatever the network says; and a factor that was right by day is not right by "
                   "night either (sections 4.9 and 4.10)."),
            Option("Pictures of the night are not exchangeable with those of the day.",
                   "That is all that the promise asks for (section 4.10). For the night the radius has to come from "
                   "pictures of the night.", right=True,
                   see=See("conformal", "the same circles in the dark: over ten draws the share is 0.5782",
                           pictures="dark")),
        ),
    ),
    Question(
        "4-g",
        "10 % of the labels are missing, and training uses (0, 0) in their place. The right maps are sharp. Where do "
        "the decoders land?",
        (
            Option("Where they should: nine right labels outvote one.",
                   "Training does not vote. Its best map is a mixture, and a mean feels each part of it "
                   "(section 4.12)."),
            Option("Both a tenth of the way to the corner.",
                   "So does soft-argmax. Argmax takes one cell or another, never a place in between (section 4.12)."),
            Option("Soft-argmax a tenth of the way to the corner, argmax where it should.",
                   "The best map is 0.9 of the right one and 0.1 of the corner. Its mean moves by a tenth, its highest "
                   "cell stays, if the map is sharp (section 4.12).", right=True),
            Option("Argmax in the corner, soft-argmax where it should.",
                   "Argmax jumps only where the right peak, times 0.9, is below the corner's, times 0.1; the mean "
                   "moves with any share (section 4.12)."),
        ),
    ),
)
