//! Words between the roll-outs of profiles, the shards that own the phones, and the engine that signals them.
//! A module of its own, so that neither roll-outs nor shards need to know the other.

use std::collections::hash_map::RandomState;

use actix::{Message, Recipient};
use keyline_domain::ids::{DeviceIndex, ProfileId};
use keyline_domain::phone::AppliedVersion;
use keyline_domain::rollout::Order;
use papaya::HashMap;
use tokio::sync::oneshot;

/// Brings a version to phones of one shard: commit, publish, then the signal.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ApplyTo {
    /// The phones.
    pub(crate) devices: Vec<DeviceIndex>,
    /// What they shall be judged by.
    pub(crate) applied: AppliedVersion,
    /// Who asks.
    pub(crate) asks: Asks,
}

/// Who asks for an apply, and what follows it.
#[derive(Debug)]
pub(crate) enum Asks {
    /// The roll-out of the profile: the phone is signalled, the roll-out hears of it.
    Rollout(Order),
    /// An administrator, for one phone, who signals it himself.
    One(oneshot::Sender<Applied>),
}

/// What became of an apply to one phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is judged by the version from now on; it is signalled if a roll-out asked.
    Done,
    /// Nothing is registered: it is judged by the saved version anyhow.
    Unregistered,
    /// It is gone, or has another profile.
    Moved,
    /// Too much waits to be written; nothing was changed.
    Busy,
    /// The store did not take it; nothing was changed.
    Failed,
}

/// What a roll-out hears of a phone.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub(crate) enum Word {
    /// From the shard.
    Applied(DeviceIndex, Applied),
    /// The phone's answer to the signal; `None` when there was none.
    Answered(DeviceIndex, Option<u16>),
    /// The phone's row changed.
    Changed(DeviceIndex),
    /// A registration of it was refused.
    Refused(DeviceIndex),
}

/// The roll-outs that run, by profile.
#[derive(Debug, Default)]
pub(crate) struct Registry(HashMap<ProfileId, Recipient<Word>, RandomState>);

impl Registry {
    /// From now on words go there.
    pub(crate) fn add(&self, profile: ProfileId, to: Recipient<Word>) {
        self.0.pin().insert(profile, to);
    }

    /// Nobody listens any more.
    pub(crate) fn remove(&self, profile: ProfileId) {
        self.0.pin().remove(&profile);
    }

    /// Says something to the roll-out of a profile, if there is one.
    pub(crate) fn tell(&self, profile: ProfileId, word: Word) {
        if let Some(to) = self.0.pin().get(&profile) {
            // Never dropped: a roll-out has as many phones under way as its pace and window allow.
            to.do_send(word);
        }
    }
}
