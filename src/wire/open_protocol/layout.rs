//! What a table of a MID's parameters is made of.
