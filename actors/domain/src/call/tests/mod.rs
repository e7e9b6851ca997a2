//! Flows, properties and requirements of calls.
