"""Chapter 2: what each section asks to predict."""

from posebook.ask import Option, Question

PREDICTIONS = (
    Question("2.1", "A perfect heatmap has one cell for 4 × 4 pixels. How far from the marked points are the highest "
             "cells?", (
        Option("0 px: the heatmap is perfect",
               "The map knows the place; the highest cell alone can only say its center."),
        Option("up to 1 px", "A point in a cell of 4 px may be 2 px from its center on each axis."),
        Option("up to 3 px", "The worst of the eight is 2.40 px off; 2.83 px is possible.", right=True),
    )),
    Question("2.2", "One cell is made from the pixels 0, 1, 2 and 3, whose centers are at whole numbers. Where is "
             "its center?", (
        Option("at 0", "That is the index convention: no mean of these four pixels is there."),
        Option("at 1.5", "The middle of 0, 1, 2, 3.", right=True),
        Option("at 2", "Half of the width is 2, but pixel 0 begins at −1/2."),
    )),
    Question("2.3", "Stride 4, a round peak without noise, well inside the map. What is the largest distance between "
             "the keypoint and the highest cell?", (
        Option("2 px", "So far on one axis; both may be off at once."),
        Option("2.83 px", "Half a cell on both axes: 4 / √2.", right=True),
        Option("4 px", "A whole cell away, another cell is nearer and higher."),
    )),
    Question("2.4", "Annotators mark whole pixels. With stride 4, and cell 0 on pixel 0, is the mean error of argmax "
             "still 0?", (
        Option("Yes: the sawtooth is as often above as below.",
               "For places spread evenly. Whole pixels meet the tie at half a cell, and ties go one way."),
        Option("No: it is −0.5 px.",
               "Of four phases one is a tie, and it goes to the lower cell: −2 px in one of four.", right=True),
        Option("No: it is −2 px.", "That is the error at the tie alone, which is one phase in four."),
    )),
    Question("2.5", "A map has two equally high peaks, at opposite sides. Where does soft-argmax put the keypoint?", (
        Option("half-way between them",
               "A mean of two equal peaks lies in the middle, where nothing is.", right=True),
        Option("on one of the two", "That is argmax. Soft-argmax is a mean of all cells."),
        Option("somewhere that depends on the temperature", "Equal peaks stay equal at every temperature."),
    )),
    Question("2.6", "A Gaussian with a standard deviation of one cell. How far is the mean of its cells from its "
             "center?", (
        Option("some 0.3 cells, as argmax", "That is what one cell alone knows; the mean knows all of them."),
        Option("some 0.02 cells", "So far off is a bell of half a cell. The error falls like exp(−2 π² q²)."),
        Option("less than a millionth of a cell", "2.4e-8 cells: less than single precision holds.", right=True),
    )),
    Question("2.7", "The decoded point should move to the right. Which logits does the gradient raise?", (
        Option("all cells right of the mean, each by its probability times its distance",
               "And it lowers those on the left; together they cancel.", right=True),
        Option("the highest cell only", "Argmax would look at it alone, and has no gradient at all."),
        Option("the cell right of the highest one only", "All cells take part that have probability."),
        Option("all cells right of the map's middle", "It counts from the decoded point, wherever that is."),
    )),
    Question("2.8", "Stride 16. At which temperature is soft-argmax best, with a Gaussian of 6 px?", (
        Option("as low as possible: then it trusts the peak", "Then it is argmax, off by 5.87 px."),
        Option("somewhere between the ends",
               "Cold it is argmax, hot it feels the border: near τ = 4 it is off by 0.01 px.", right=True),
        Option("as high as possible: then it averages most", "At τ = 10 the border pulls: 0.58 px."),
    )),
    Question("2.9", "The root mean square error of argmax is 1.155 px at stride 4. What does the quarter shift make "
             "of it?", (
        Option("three quarters, 0.866 px", "A quarter of a cell is half of the largest error, not a quarter of it."),
        Option("a half, 0.577 px", "The answers lie on a grid of half the stride.", right=True),
        Option("a quarter, 0.289 px", "A quarter of a cell is the shift; what is left is half of the error."),
    )),
    Question("2.10", "You know three neighboring values of a Gaussian, but neither its height nor its width. Can you "
             "find its center exactly?", (
        Option("No: too much is unknown", "Height, width and center are three unknowns, and here are three values."),
        Option("Only nearly, by the parabola through the three values",
               "That parabola has its top at 2.25 instead of 2.3. Through the logarithms it is exact."),
        Option("Yes, exactly",
               "The logarithm of a Gaussian is a parabola, and three points determine it.", right=True),
    )),
    Question("2.11", "A heatmap between 0 and 1, 64 × 64 cells, goes straight into soft-argmax. Where does a "
             "keypoint at cell x = 20.3 land?", (
        Option("at 20.3: soft-argmax is exact on Gaussians",
               "On the logarithm of a Gaussian, yes; not on the heatmap."),
        Option("near 21", "Thousands of empty cells weigh e⁰ = 1 each: that pulls much farther."),
        Option("near 31.4, almost in the middle of the map",
               "Each cell weighs 1 at least: that makes over 99 % of all weight, and its mean is the middle.",
               right=True),
    )),
    Question("2.12", "The logits carry white noise. At which temperature is soft-argmax best?", (
        Option("low: it trusts the peak", "It listens to one cell and its noise: 0.84 cells."),
        Option("between the two",
               "0.11 cells at τ = 2: noise is averaged and the background is not yet heard.", right=True),
        Option("high: it averages the noise away", "It averages, but over the background as well, which pulls."),
    )),
    Question("2.13", "You raise the temperature, and p becomes wider. Does its mean become more uncertain?", (
        Option("No: its mean moves less from one noisy map to the next.",
               "Its standard deviation is ν / (τ √(8 π)): from τ = 0.5 to 2 it falls to a quarter.", right=True),
        Option("Yes: a wide p is an uncertain answer.",
               "The spread of p is one variance, that of the estimate another; here they go opposite ways."),
        Option("Neither: the mean of p does not depend on its width.",
               "The place hardly does; how far noise moves it does."),
    )),
    Question("2.14", "A peak has a longer tail on its right, and its top stays. Now the same picture is sampled at "
             "twice the stride. What does the lean of the mean do, in px?", (
        Option("it stays", "The picture is the same and only the grid is coarser: power 0.", right=True),
        Option("it doubles", "So it does if the network draws the same shape in cells on every map."),
        Option("it grows 16 times",
               "So it does if the peak becomes wider with the stride and keeps its lopsidedness in px."),
    )),
    Question("2.15", "The offsets of all anchors are exactly right. How wrong may the scores be?", (
        Option("The best score has to be at the nearest anchor.", "Any anchor votes for the keypoint, near or far."),
        Option("A little: soft voting averages small mistakes away.",
               "There is nothing to average: all votes are the same."),
        Option("As wrong as you like.",
               "All votes are the same point, so that every mean of them is, too.", right=True),
    )),
    Question("2.16", "An image of 4 w px, a map of w cells, targets at x / 4. By how much is the flipped-back peak "
             "off?", (
        Option("not at all", "So it is on a grid that is its own mirror image; x / 4 is none."),
        Option("by 0.75 cells", "Image and map are mirrored about different middles: −(s − 1) / s.", right=True),
        Option("by a whole cell", "Much code shifts by one cell: that leaves 1 px on every stride."),
    )),
    Question("2.17", "One head has standard deviation 1 px, an independent one 2 px. What weight should the second "
             "one get?", (
        Option("1/2", "A plain mean has the variance 1.25, worse than the better head alone."),
        Option("1/3", "That weighs with the standard deviations; the variances decide."),
        Option("1/5", "Weights go as 1 / variance: 1 to 1/4.", right=True),
        Option("none", "The worse head still helps: the variance falls from 1 to 0.8."),
    )),
    Question("2.18", "On clean Gaussian heatmaps: which is the order, best first?", (
        Option("DARK, soft-argmax, quarter shift, argmax",
               "At each width from 0.7 to 3 cells on 32 × 32.", right=True),
        Option("soft-argmax, DARK, quarter shift, argmax",
               "A logarithm needs a floor for empty cells, and this background pulls soft-argmax a little."),
        Option("DARK, quarter shift, argmax, soft-argmax",
               "So it is under noise, or nearly: there soft-argmax is last."),
    )),
)
