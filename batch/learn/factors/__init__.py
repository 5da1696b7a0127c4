"""Additive estimates x_u·y_p by empirical Bayes, blended as they paid on later days: what trees stand on."""
