# For compiled modules only: buffer.pyx says what it is.
