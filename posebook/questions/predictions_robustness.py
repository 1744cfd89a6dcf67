"""Chapter 4: what each section asks to predict."""

from posebook.ask import Option, Question

PREDICTIONS = (
    Question("4.1", "A picture 5 px wide and 3 px high is turned counterclockwise by 90 degrees. Where does its last "
             "pixel go, the one at x = 4, y = 2?", (
        Option("to (2, 0)", "(x, y) goes to (y, W − 1 − x): the right edge becomes the top.", right=True),
        Option("to (0, 4)", "That is the turn clockwise: (H − 1 − y, x)."),
        Option("to (2, 1)", "That is y and W − x: the last of W pixels is W − 1."),
    )),
    Question("4.2", "A picture of pure noise, variance 1, is turned by 30 degrees. What is the variance of its "
             "pixels now?", (
        Option("still 1", "So it is at multiples of 90 degrees, where pixels fall on pixels."),
        Option("about 2/3", "That is what interpolation leaves on one axis; here are two."),
        Option("about 4/9", "2/3 for each axis: a mean of neighbors is calmer than they are.", right=True),
    )),
    Question("4.3", "An oracle draws perfect maps, cells 4 px apart, before and after a turn. How far apart are "
             "argmax's two answers (RMS)?", (
        Option("0 px: the maps are perfect",
               "Argmax rounds each time, and the two roundings have nothing to do with each other."),
        Option("about 1 px", "One rounding on one axis is s / √12 = 1.15 px; here are two, on two axes."),
        Option("about 2 px", "√(2 · 2 · s² / 12) = s / √3 = 2.31 px.", right=True),
        Option("about 4 px", "A rounding is off by half a cell at most on each axis, and mostly by less."),
    )),
    Question("4.4", "Chapter 1's network finds upright people to less than 2 px. How far off is it when the pictures "
             "are turned by exactly 90 degrees?", (
        Option("2 px: nothing is interpolated there",
               "Pictures and points turn exactly; the network's filters do not."),
        Option("5 px", "So far off it is at 45 degrees, and a quarter turn is worse."),
        Option("15 px", "Its filters are not symmetric, and it puts heads where heads were in training.", right=True),
    )),
    Question("4.5", "A detector averages its answers over the four quarter turns. Alone it is right to 2 px upright, "
             "more than 10 px off at the other three. How far off is the average, upright?", (
        Option("less than 2 px: averages help",
               "Against errors that scatter. Three of the four answers are wrong by design."),
        Option("some 3 px: a quarter of the others' errors", "It is three quarters of them that go in."),
        Option("more than 9 px, and the same at 90 degrees",
               "Exactly equivariant, and exactly as wrong at all four: one right answer and three wrong "
               "ones.", right=True),
    )),
    Question("4.6", "Order 128 people by the variance of their maps, and by how well they were found. Are the orders "
             "alike?", (
        Option("yes, for people like those of the training",
               "Below −0.6; subtracting the target's variance matters only once you divide by κ².", right=True),
        Option("hardly: a map's width says nothing about a single person",
               "Spearman's correlation is below −0.6: the wider, the worse."),
        Option("yes, and for people from behind as well",
               "Little or nothing of the order is left there: the error is 5 times as large, the claim hardly larger."),
    )),
    Question("4.7", "You add 20 px to a layer's bias: all its answers are 20 px further off. What happens to the "
             "variance of its answers under dropout?", (
        Option("nothing",
               "The bias is in the mean alone. Dropout knows p, the weights and the input, and no "
               "error.", right=True),
        Option("it grows: the network is more wrong", "The truth is nowhere in the formula p / (1 − p) Σ w² x²."),
        Option("it grows by 20² px²", "That is what the squared error does, not the scatter of the answers."),
    )),
    Question("4.8", "A keypoint's error is Gaussian with variance v = κ² on each axis. What is its mean similarity "
             "exp(−e² / 2κ²)?", (
        Option("0.37",
               "That is exp(−1), the similarity of the mean square error: a mean of a bent curve is another."),
        Option("0.50", "κ² / (κ² + v) = 1/2.", right=True),
        Option("0.61", "That is exp(−1/2), as if the error had one axis only and always its usual size."),
    )),
    Question("4.9", "One factor for all claims makes the errors most likely, another puts half of them inside the "
             "ellipses that claim half. On a well-trained network, are they alike?", (
        Option("no: one is above 1.5, the other about 0.5",
               "A few keypoints whose maps claim next to nothing decide the likelihood. The median does not notice "
               "them.", right=True),
        Option("yes, to some 10 %", "They would be for Gaussian errors with honest claims."),
        Option("no: the median is the larger one",
               "The mean of squares listens to the few large ones, the median does not."),
    )),
    Question("4.10", "You measure nine distances and draw a circle with the largest one around a tenth point. How "
             "often does it hold the truth?", (
        Option("it depends on the distribution",
               "Only the order counts, and of ten that are alike each is as likely the largest."),
        Option("9 times of 10, whatever the distribution",
               "The tenth is the largest of ten with probability 1/10.", right=True),
        Option("always, or nearly: it was the largest", "Of nine. The next one may well be larger."),
    )),
    Question("4.11", "From which of these can chapter 1's map not tell the pictures with somebody?", (
        Option("plain people from plain empty pictures", "AUC above 0.98."),
        Option("people from shuffled parts of others as large", "AUC above 0.95."),
        Option("small people in clutter from shuffled parts of large people",
               "AUC below 0.55: it is about as often surer of the parts as of the people.", right=True),
    )),
    Question("4.12", "30 % of all labels are missing, and you train on (0, 0) as if it were a mark. How far off are "
             "the answers?", (
        Option("a little: 70 % of the labels are right",
               "A network learns the mean, and the wrong ones all agree on a corner."),
        Option("a lot by soft-argmax, hardly by argmax",
               "So it is on a sharp map. A trained one is lower than the corner, which is the same cell each time."),
        Option("a lot: some 12 px by soft-argmax, some 30 px by argmax",
               "Soft-argmax goes 30 % of the way; argmax goes all of it for more than half of the "
               "keypoints.", right=True),
    )),
    Question("4.13", "Noise of η = 0.2 lies on each cell of the masks, which have many cells. How much does the loss "
             "vary?", (
        Option("by about 20 % of itself", "That is one cell; here are 648 of them, each with its own noise."),
        Option("by more: the hidden keypoints add up",
               "They add noise, but independent noise grows with the root only."),
        Option("by less than 10 %", "0.68 of 7.27: independent noise of many cells averages out.", right=True),
    )),
    Question("4.14", "30 % of the flags are wrong, and you do not know which. Can a loss be right on average?", (
        Option("yes, at the price of 2.5 times the standard deviation",
               "(M′ − f) / (1 − 2f) has the mean M. On 256 pictures, shown again and again, the loss ran "
               "away.", right=True),
        Option("no: who knows no single wrong flag can correct none", "It is enough to know how many are wrong."),
        Option("yes, and for nothing", "The weights are 1.75 and −0.75, and scatter more than 0 and 1."),
    )),
    Question("4.15", "On clean pictures the cross-entropy network is best. Is it so with strong noise, blur, JPEG "
             "and beneath a rectangle?", (
        Option("no: in some rows others are clearly better",
               "By more than 10 % with each seed, in 11 of 46 rows.", right=True),
        Option("yes: the order stays, all errors grow",
               "Beneath a rectangle and with strong JPEG the hybrid is better."),
        Option("no: it is the worst in most of them", "In noise no other is more than 10 % better with each seed."),
    )),
)
