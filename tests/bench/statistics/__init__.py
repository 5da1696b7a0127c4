"""Made experiments and logs whose truth is known, judged by the code of the verdict itself."""
