"""Seeds of one arm in one process: trained in one pass where that is faster, else in turn."""
