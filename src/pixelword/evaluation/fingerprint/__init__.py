"""What a checkpoint is and does, in a report that another machine can compare with its own."""
