//! One binary for all suites: each test owns its folder and its ports.

mod layers;
