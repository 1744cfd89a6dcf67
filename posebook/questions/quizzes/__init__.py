"""The quiz at the end of each chapter, by the chapter's number."""

from posebook.ask import Question
from posebook.questions.quizzes import applications, decoding, multi_person, representations, robustness

QUIZZES: dict[int, tuple[Question, ...]] = {
    1: representations.QUIZ, 2: decoding.QUIZ, 3: multi_person.QUIZ, 4: robustness.QUIZ, 5: applications.QUIZ}
