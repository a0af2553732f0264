//! mqtt.
