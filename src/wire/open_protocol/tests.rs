//! Vectors, positions and properties of the whole codec.
