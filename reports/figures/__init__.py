"""One figure a file: numbers first, drawing second."""
