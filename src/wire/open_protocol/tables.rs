//! The layouts of all MIDs that are decoded, as data.
