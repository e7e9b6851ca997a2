//! Flows, properties and requirements of calls, told with fake phones.

mod answered;
mod exchange;
mod flows;
mod identity;
mod random;
mod recover;
mod redirect;
mod reliable;
mod ringing;
mod security;
mod timer;
mod transfer;
mod unusable;
mod world;
