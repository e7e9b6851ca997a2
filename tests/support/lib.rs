//! What the suites share: a node in a folder of its own, and outside clients.
