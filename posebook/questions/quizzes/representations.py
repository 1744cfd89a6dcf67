"""The quiz of chapter 1."""

from posebook._links import See
from posebook.ask import Option, Question

QUIZ = (
    Question(
        "1-a",
        "Your loader mirrors half of the training pictures and their x, but leaves the rows of the table as they are. "
        "The network is trained by squared error on heatmaps. Which map does it learn for the left wrist?",
        (
            Option("One bump at the left wrist: the wrong labels average out.",
                   "Scatter averages out, a bias does not (section 1.10), and half of all labels are no scatter."),
            Option("Two bumps of half the height, one at each wrist.",
                   "It cannot see which pictures were mirrored, and squared error asks for the mean of the targets "
                   "(section 1.7): half of them stand at either wrist.", right=True),
            Option("One wide bump in the middle between the wrists.",
                   "That would be the mean of the places. A map learns the mean of the targets (section 1.7), and this "
                   "keeps both places."),
            Option("A bump at the left wrist, or at the right one in pictures that were mirrored.",
                   "Nothing in a picture says that it was mirrored; that is why rows have to be exchanged "
                   "(section 1.1)."),
        ),
    ),
    Question(
        "1-b",
        "A picture is averaged down by 4, so that cell k stands for the pixels from 4k to 4k + 3. A keypoint is at "
        "x = 21 px. Around which place do you draw its Gaussian?",
        (
            Option("x = 5.25 cells",
                   "This divides by the stride and forgets that a cell's middle is not its first pixel (section 1.3): "
                   "1.5 px off."),
            Option("x = 5 cells",
                   "This rounds to a cell, which throws away what the map could keep between the cells "
                   "(section 1.4).",
                   see=See("target", "rounded first, it is 1.42 px off by every decoder", keypoint="rounded")),
            Option("x = 4.875 cells",
                   "Cell k has its middle at 4k + 1.5, so the place is (21 − 1.5) / 4, and the Gaussian is drawn "
                   "around it without rounding (sections 1.3 and 1.4).", right=True),
            Option("x = 5.625 cells",
                   "The half stride is added where it has to be taken away: 4 · 5.625 + 1.5 is 24 px, not 21 "
                   "(section 1.3)."),
        ),
    ),
    Question(
        "1-c",
        "By squared error a perfect bump at the wrong place costs more than an empty map once it is some distance off. "
        "You make all targets twice as wide. What becomes of that distance?",
        (
            Option("It doubles.",
                   "The cost of a misplaced bump depends on its distance in widths alone: twice as wide, twice as far "
                   "(section 1.6). Wide targets forgive more.", right=True),
            Option("It stays: both costs become four times as large.",
                   "Both do grow, but the same step is now half as many widths, so that the two bumps overlap more "
                   "(section 1.6)."),
            Option("It becomes four times as large, as the bump covers four times the area.",
                   "The area decides how large both costs are (section 1.5), not where they cross: that is a distance "
                   "(section 1.6)."),
            Option("It halves: a wide bump is easier to get wrong.",
                   "A wide bump overlaps with its target for longer, so that it is harder to be worse than silence "
                   "(section 1.6)."),
        ),
    ),
    Question(
        "1-d",
        "Labels scatter around the true place by exactly one width of the target, on each axis. How high is the peak "
        "of the best answer to squared error?",
        (
            Option("1: with enough pictures the scatter averages out.",
                   "It averages out in the place of the peak, not in its height: the best answer is the mean of bells "
                   "that lie side by side (section 1.7)."),
            Option("0.71",
                   "The width grows by √2 on each of two axes, and the sum of the map stays, so that the height falls "
                   "by √2 twice (section 1.7)."),
            Option("0.5",
                   "σ² / (σ² + ν²) with ν = σ. The map is lower and wider at the right place (section 1.7): a low peak "
                   "can mean labels that disagree.", right=True),
            Option("0: the bells cancel.",
                   "Targets are nowhere negative, so that nothing can cancel; their sum stays 2πσ² (sections 1.5 "
                   "and 1.7)."),
        ),
    ),
    Question(
        "1-e",
        "SimCC answers with a ruler for x and a ruler for y. In a picture of two people, both rulers of the nose have "
        "two peaks. What do you know?",
        (
            Option("Four places, and two of them are ghosts.",
                   "Each x fits each y. A map would have two peaks, but two rulers have lost which belong together "
                   "(section 1.9).", right=True),
            Option("Both noses: the higher peak of x goes with the higher peak of y.",
                   "Heights say how sure each ruler is, not which peaks belong together; two equal people have equal "
                   "heights (section 1.9)."),
            Option("Both noses: the left peak of x goes with the upper peak of y.",
                   "Who stands further left need not stand higher: that is a guess about the people, not something "
                   "that the rulers say (section 1.9)."),
            Option("One place in the middle.",
                   "That is what a mean would give, as in the integral loss (section 1.13). The rulers keep both peaks "
                   "of each axis."),
        ),
    ),
    Question(
        "1-f",
        "A map has two equal bumps, 10 cells to the left and 10 cells to the right of the keypoint. What does the "
        "integral loss say, and what does argmax find?",
        (
            Option("Loss 0, and argmax finds the keypoint.",
                   "The loss is 0, but there is no bump at the keypoint: a loss of 0 is no proof that the map is right "
                   "(section 1.13)."),
            Option("A loss of 10 cells, and argmax is 10 cells off.",
                   "Each bump is 10 cells off, but the integral loss reads the mean of the map alone, and the mean is "
                   "right (section 1.13)."),
            Option("Loss 0, and argmax is 10 cells off.",
                   "The mean of the two bumps is the keypoint, and the mean is all that the integral loss looks at "
                   "(section 1.13); argmax takes one of the bumps.", right=True),
            Option("A loss of 20 cells, and argmax is 10 cells off.",
                   "The two bumps pull to opposite sides, so that their parts cancel in the mean; they do not add up "
                   "(section 1.13)."),
        ),
    ),
    Question(
        "1-g",
        "Chapter 1's network has been trained on people who face it. It now sees people from behind and takes left "
        "for right. What do its maps say?",
        (
            Option("They become wide, since the network is unsure.",
                   "It is not unsure: a back looks much like a front. The spread is a claim that was learned from the "
                   "training pictures (section 1.15)."),
            Option("They stay narrow, at the wrong places.",
                   "The spread follows the error where training has taught it to. Here the error is over four times "
                   "the claim, and the map does not say so (section 1.15).", right=True),
            Option("They become empty, as after a picture with nobody in it.",
                   "The softmax has to put its 1 somewhere, whatever it sees (sections 1.5 and 1.15): such a map "
                   "cannot be empty."),
        ),
    ),
)
