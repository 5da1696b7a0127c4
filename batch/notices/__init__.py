"""Notices to people: what the log tells, by apprise, to the addresses of ALMANAC_NOTICES."""
