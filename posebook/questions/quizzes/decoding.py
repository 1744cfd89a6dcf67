"""The quiz of chapter 2."""

from posebook._links import See
from posebook.ask import Option, Question

QUIZ = (
    Question(
        "2-a",
        "To save memory you double the stride, and you add the quarter shift to argmax. Maps are clean, keypoints lie "
        "anywhere, far from the border. What happens to the root mean square error?",
        (
            Option("It halves.",
                   "The quarter shift does halve it (section 2.9), but argmax's error is proportional to the stride, "
                   "which has doubled (section 2.3)."),
            Option("It doubles.",
                   "Twice the stride does double it (section 2.3), but the quarter shift halves it again: it makes a "
                   "grid of half the stride (section 2.9)."),
            Option("It stays as it was.",
                   "Twice the stride doubles the error of argmax (section 2.3), and the quarter shift, which works on "
                   "a grid of half the stride, halves it (section 2.9).", right=True),
            Option("It falls to a quarter.",
                   "The quarter in the name is how far the peak is moved, in cells; the error falls by half "
                   "(section 2.9)."),
        ),
    ),
    Question(
        "2-b",
        "Targets were drawn at x / 4, and the decoder turns cell k into pixel 4k + 1.5. You replace argmax by DARK. "
        "What happens to the mean error?",
        (
            Option("It goes to 0, as DARK is exact on Gaussians.",
                   "DARK finds the cell exactly (section 2.10), but the way from cells to pixels is wrong by itself "
                   "(section 2.2)."),
            Option("It stays at 1.5 px to the right and down, now for every keypoint alike.",
                   "Encode and decode use different grids (section 2.2). A better decoder takes away the scatter, not "
                   "the shift.", right=True),
            Option("It averages out, because some keypoints are moved right and others left.",
                   "Argmax's rounding goes either way (section 2.3), but a shift between two grids has one direction "
                   "for all (section 2.2)."),
            Option("It becomes 0.375 px, as the shift is a part of a cell.",
                   "That is the shift in cells, 1.5 / 4. In px it is 1.5, with any decoder (section 2.2)."),
        ),
    ),
    Question(
        "2-c",
        "A network gives clean heatmaps of 64 × 64 cells with values from 0 to 1. Soft-argmax at τ = 1 puts every "
        "keypoint near the middle of the map. What mends it?",
        (
            Option("Divide each map by its sum first.",
                   "Then all values are nearly 0, the softmax is flatter still, and the answer is the middle "
                   "(section 2.11). A softmax needs logits."),
            Option("Raise τ, so that more cells have a say.",
                   "The cells of the background have too much of a say already; a higher temperature gives them more "
                   "(sections 2.11 and 2.12)."),
            Option("Take larger maps, so that the border is further away.",
                   "It is not the border but the number of background cells that pulls, each with e⁰ = 1: more cells "
                   "pull more (section 2.11)."),
            Option("Give it the logarithm of the map.",
                   "The logarithm of a Gaussian is what a softmax turns into that Gaussian again; then the background "
                   "has no weight and the mean is right (sections 2.5 and 2.11).", right=True),
        ),
    ),
    Question(
        "2-d",
        "The logits of a map have weak white noise; the softmax is wide and far from the border. You raise τ from 1 to "
        "4. What happens to the softmax, and how much does its mean scatter?",
        (
            Option("It becomes twice as wide, and the mean scatters a quarter as much.",
                   "The width goes with √τ. The noise enters divided by τ, and the standard deviation of the mean goes "
                   "with 1/τ (section 2.13).", right=True),
            Option("It becomes twice as wide, and the mean scatters twice as much.",
                   "The spread of the softmax is not the uncertainty of its mean; here the two go in opposite "
                   "directions (section 2.13).",
                   see=See("temperature", "p is 1.41 cells wide and off by 0.10; move tau to 1: wider, and less off",
                           tau=0.5)),
            Option("It becomes narrower, and the mean scatters less.",
                   "τ divides the logits: a higher temperature makes a softmax wider (section 2.12). The mean does "
                   "scatter less."),
            Option("It becomes twice as wide, and the mean scatters as much as before.",
                   "The noise enters divided by τ, so that a quarter of it is left. What grows is the width, and that "
                   "is not the mean's scatter (section 2.13)."),
        ),
    ),
    Question(
        "2-e",
        "A bell with a longer tail on one side keeps its shape in px. You halve the stride, which was fine enough "
        "before. What becomes of the error in px that the tail makes?",
        (
            Option("That of soft-argmax stays, that of DARK falls to a quarter.",
                   "Soft-argmax reads the bell's mean, which does not move (sections 2.6 and 2.14). DARK aims at the "
                   "top, and its three cells come nearer to it: its lean goes with the stride squared.", right=True,
                   see=See("asymmetry", "soft-argmax leans by 0.63 px; move stride, and it stays",
                           fixed="mu and sigma in px")),
            Option("Both stay, since the bell is the same.",
                   "The mean and the top stay. But DARK reads the top off three cells, which the tail misleads the "
                   "less, the nearer they are (section 2.14)."),
            Option("Both halve, since a cell is half as large.",
                   "That holds if the bell keeps its shape in cells. This one keeps it in px (section 2.14)."),
            Option("That of soft-argmax falls to a sixteenth, that of DARK stays.",
                   "The fourth power of the stride belongs to a width that is fixed in cells, beside a tail that is "
                   "fixed in px (section 2.14)."),
        ),
    ),
    Question(
        "2-f",
        "Two unbiased heads have standard deviations of 1 px and 2 px. They share a trunk, and their errors have a "
        "correlation of 0.5. Which weight should the second head get?",
        (
            Option("1/5",
                   "That is inverse variance, 1 : 1/4. It is best for independent heads only; here it is worse than "
                   "the first head alone (section 2.17).",
                   see=See("fusion", "this mean has a variance of 1.12, head 1 alone has 1.00",
                           s2=2.0, r=0.5, reported=2.0)),
            Option("1/3",
                   "That weighs by inverse standard deviation. Even independent heads are weighed by inverse variance "
                   "(section 2.17)."),
            Option("1/2",
                   "The plain mean is best for heads that are equally good (section 2.17). It gives the worse head too "
                   "much even if the errors are independent."),
            Option("0",
                   "Where the correlation is the ratio of the standard deviations, 1/2, the second head has nothing to "
                   "add; above it, its weight would be negative (section 2.17).", right=True),
        ),
    ),
    Question(
        "2-g",
        "Maps show, beside the right peak, a lower one 20 cells away: another person's wrist. You want to read them "
        "below a cell's size. Which decoder is not drawn to the other person?",
        (
            Option("Soft-argmax with a higher temperature.",
                   "It gives the lower peak more weight, not less (section 2.12), and the mean lies between the two "
                   "(section 2.11)."),
            Option("Soft-argmax in a window around the highest cell.",
                   "The window leaves out the other peak and keeps the mean around the right one "
                   "(section 2.11).", right=True),
            Option("Soft-argmax with the background's pull taken out.",
                   "The correction knows of a background of zeros. A second peak is no background, and pulls as before "
                   "(section 2.11)."),
            Option("Soft-argmax over the whole of a larger map.",
                   "More room helps against the border. The side peak stays where it is, with the same weight "
                   "(section 2.11)."),
        ),
    ),
)
