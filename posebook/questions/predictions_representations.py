"""Chapter 1: what each section asks to predict."""

from posebook.ask import Option, Question

PREDICTIONS = (
    Question("1.1", "You mirror a picture of width W. Her left wrist was in row 9 of the table. What becomes of "
             "it?", (
        Option("Its x becomes W − x, and it stays in row 9.",
               "Pixel centers run from 0 to W − 1, so W − x is one too many; and in the mirror image it is a right "
               "wrist."),
        Option("Its x becomes W − 1 − x, and it stays in row 9.",
               "The place is right, the name is not: where the names were forgotten, points were some 7 px off."),
        Option("Its x becomes W − 1 − x, and it goes to the row of the right wrist.",
               "The point moves, and its name too: in the mirror image it is a right wrist.", right=True),
    )),
    Question("1.2", "A network is exactly right about all that is labeled. Two of 17 keypoints are not, and are "
             "stored as (0, 0). The picture is 64 px high. What does the mean over all 17 say?", (
        Option("0 px", "That is the mean over the labeled ones, and only a mask takes it."),
        Option("about 1 px", "Two keypoints are some 42 px from the corner: two seventeenths of that is more."),
        Option("about 5 px", "Two of 17 are some 42 px from (0, 0), and 2/17 of 42 px is 5 px.", right=True),
    )),
    Question("1.3", "A picture of 64 px is averaged down to 16, each new pixel the mean of 4 × 4 old ones. A dot had "
             "its center at old pixel x = 20. Where is it now?", (
        Option("at 4.625",
               "New pixel 0 lies in the middle of the old pixels 0 to 3, at 1.5: (20 − 1.5) / 4.", right=True),
        Option("at 5", "That is 20 / 4, which holds where the new picture takes every fourth pixel."),
        Option("at 5.375", "That is (20 + 1.5) / 4; the shift goes the other way."),
    )),
    Question("1.4", "A Gaussian with peak 1, one cell wide, around a corner where four cells meet: what is the "
             "highest number on the grid?", (
        Option("1", "The peak is 1, but it lies between the cells; a rounded target would have it."),
        Option("0.88", "That is a keypoint half-way between two cells: exp(−1/8). On a corner both axes are off."),
        Option("0.78", "Each of the four centers is half a cell off on both axes: exp(−1/4).", right=True),
        Option("0.25", "The four cells do not share the peak: each has the bell's own value there."),
    )),
    Question("1.5", "A heatmap with peak 1 and σ = 2 cells: what do all its values add up to?", (
        Option("1", "That is what a probability would do. A heatmap has a peak of 1 instead."),
        Option("about 6", "That is 2 π σ² at σ = 1 cell; it grows with the square of σ."),
        Option("about 25", "The volume under the bell is 2 π σ², here 25.13.", right=True),
    )),
    Question("1.6", "σ = 2, 64 × 64 cells. One network draws a perfect bump 4 cells beside the keypoint, another "
             "answers 0 everywhere. Whose mean squared error is lower?", (
        Option("that of the empty map",
               "From 1.67 σ = 3.33 cells on, no bump is cheaper than a bump beside.", right=True),
        Option("that of the bump", "It pays twice: for the bump that is missing and for the one that is too many."),
        Option("both are the same", "They are the same at 3.33 cells only."),
    )),
    Question("1.7", "Targets with peak 1 and σ = 2 cells; labels scatter by 1.5 cells on each axis. How high is the "
             "best heatmap under the mean squared error?", (
        Option("1: the scatter averages out",
               "It averages the place, not the height: the mean of shifted bells is a lower and wider bell."),
        Option("about 0.8", "That is σ / √(σ² + ν²), which is right on one axis; a map has two."),
        Option("about 0.64", "The mean of the targets has the peak σ² / (σ² + ν²) = 4 / 6.25.", right=True),
        Option("about 0.36", "That is what is lost: ν² / (σ² + ν²)."),
    )),
    Question("1.8", "Stride 4, σ = 2 cells. The map is the sum of the bells of two noses. From which distance on has "
             "it two peaks?", (
        Option("from 4 px on, one cell", "Bells that are 2 cells wide flow together there into one."),
        Option("from 8 px on", "That is σ in px. The middle of two bells still bulges at a distance of σ."),
        Option("from some 16 px on",
               "Two peaks need more than 2 σ = 4 cells of 4 px; on the cells 16.4 to 16.9 px.", right=True),
    )),
    Question("1.9", "An image of 64 × 64 px and two rulers with two bins per pixel. How many numbers is that, beside "
             "a map?", (
        Option("as many as a map of stride 4",
               "2 × 128 = 256 = 16 × 16, and a bin is eight times as fine as a cell.", right=True),
        Option("as many as a map of stride 1", "That has 64 × 64 = 4096 numbers; two rulers have 2 × 64 × 2."),
        Option("four times as many as a map of stride 1",
               "So it would be for a map of stride 1/2. The rulers add where a map multiplies."),
    )),
    Question("1.10", "Network A is off by 1.20 px, B by 1.33 px. Annotators scatter by 0.5 to 2 px. Can 100 test "
             "photographs tell which network is better?", (
        Option("Yes, as long as the labels only scatter.",
               "A comes out as the better one in 98 % of such sets. A large bias of the labels that B has learned "
               "turns that around.", right=True),
        Option("No: the scatter is larger than the difference.",
               "It is the same scatter for both, and 1700 keypoints average it away."),
        Option("Yes, whatever is wrong with the labels.",
               "Where the labels lean by 1 px and B learned half of it, A wins in 6 % of the sets only."),
    )),
    Question("1.11", "A thousand pictures of 64 px, two hundred steps of 32. How far off is the network on people it "
             "has never seen, in the median over the visible keypoints?", (
        Option("about 10 px", "So far off is the mean pose, an answer that never looks at the picture."),
        Option("about 3 px", "It ends below 3.5 px, a third of the mean pose's error.", right=True),
        Option("about 0.5 px",
               "A cell has 4 px and the budget is small: even the best network of section 1.14 has 1.2 px."),
    )),
    Question("1.12", "Same trunk, same pictures, same steps. Which needs more pictures, and which suffers more where "
             "people stand as nobody stood in training?", (
        Option("Regression needs more and suffers more.",
               "A dense layer has a weight of its own for each place. With 8192 pictures it is off by more than the "
               "heatmap network with 256.", right=True),
        Option("Regression needs more; heatmaps suffer more.",
               "At 16 px from the middle regression is 14.7 px off, the heatmap network 6.1 px."),
        Option("Heatmaps need more: they have more numbers to learn.",
               "They answer with more numbers, but with the same weights at each place."),
        Option("Regression needs more; heatmaps do not suffer at all.",
               "A convolution sees the border, too: trained in the middle alone it is 6.1 px off at 16 px from it."),
    )),
    Question("1.13", "A hybrid sees pictures without labels and is trained to make its two heads agree. They do, "
             "perfectly. What have they learned?", (
        Option("To say the same, right or wrong.",
               "Agreement has value and gradient 0 at every common answer, a constant included.", right=True),
        Option("Where the keypoint is: two views of it confirm each other.",
               "Nothing tells them where it is. The heads met at 31 px, the label was 26."),
        Option("The mean of what both knew before.",
               "They meet somewhere on the way, where nothing knows the label."),
    )),
    Question("1.14", "Same trunk, people and steps. Which comes out best?", (
        Option("the heatmap with the mean squared error, read by DARK",
               "It is off by 2.38 px: an empty map is right in so many cells that narrow targets are not learned."),
        Option("the integral loss, which is trained on the coordinates themselves",
               "1.54 px: it sees the mean of the map and nothing else."),
        Option("the hybrid, which has both", "2.3 px: the second head is no help to the first at this budget."),
        Option("the map trained with the cross-entropy, read by DARK", "1.21 px, with narrow targets.", right=True),
    )),
    Question("1.15", "The network has seen whole people of one size, heads up, who face it. Which of these hurts it "
             "most?", (
        Option("people half as large", "4.2 px, and the map claims 6: it notices."),
        Option("people in the dark", "3.5 px, and the map claims 5.8: it notices."),
        Option("people seen from behind", "9.7 px, because left and right are exchanged; the map claims 2.3 px."),
        Option("people upside down",
               "25.7 px, more than a third of the picture, and the map claims 5.8 px.", right=True),
    )),
)
