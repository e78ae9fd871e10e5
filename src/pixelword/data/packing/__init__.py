"""Fill rows without waste: order, bounds, best fit, and the plan that says which sample goes where."""
