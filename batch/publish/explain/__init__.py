"""Why a post stands in a user's list, and why another does not: parts of a score, places, evidence. Pure."""
