"""The speedrun: from random weights to a score of the exam, in as few processor-seconds as possible (RECORDS.md)."""
