//! Security profiles: the saved version and name of each, and the settings of every version that some phone may
//! still be judged by.
//!
//! Phones name their profile by its number, so that saving or renaming a profile touches one entry here and no
//! phone. Rows on the device board count as users of the versions that they name; a version that is not the
//! saved one and has no user goes ([`ProfileBoard::collect`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use keyline_domain::ids::{ProfileId, ProfileVersion, UnixMillis};
use keyline_domain::mode::DeviceSecurityMode;
use keyline_domain::phone::{AppliedVersion, Row};
use keyline_domain::profile::ProfileSettings;
use papaya::HashMap;
use smallvec::SmallVec;

/// Settings of one version, and how many rows and roll-outs need it.
#[derive(Debug, Clone)]
struct Version {
    version: ProfileVersion,
    settings: Arc<ProfileSettings>,
    users: Arc<AtomicU32>,
}

impl Version {
    fn is_authenticated(&self) -> bool {
        self.settings.device_security_mode == DeviceSecurityMode::Authenticated
    }
}

/// One profile. Immutable: a change publishes a new one.
#[derive(Debug, Clone, Default)]
struct Entry {
    /// The saved version; `None` once the profile was deleted and only phones that wait for an apply keep it.
    saved: Option<ProfileVersion>,
    name: Arc<str>,
    versions: SmallVec<[Version; 2]>,
    /// Phones that it is assigned to; shared by all that are published one after another.
    assigned: Arc<AtomicU32>,
}

impl Entry {
    /// Phones that have it and were never there are judged by its saved version, which is authenticated.
    fn saved_authenticated(&self) -> bool {
        let saved = self.saved.and_then(|v| self.version(v));
        saved.is_some_and(Version::is_authenticated) && self.assigned.load(Ordering::Acquire) > 0
    }

    fn version(&self, version: ProfileVersion) -> Option<&Version> {
        self.versions.iter().find(|v| v.version == version)
    }
}

/// By what a device is judged at one moment.
#[derive(Debug, Clone)]
pub struct Judgement {
    /// Profile and version.
    pub applied: AppliedVersion,
    /// Its settings.
    pub settings: Arc<ProfileSettings>,
    /// Name of the assigned profile, which may be another one until it is applied.
    pub assigned_name: Arc<str>,
}

/// The profiles.
#[derive(Debug, Default)]
pub struct ProfileBoard {
    profiles: HashMap<ProfileId, Arc<Entry>, foldhash::quality::RandomState>,
    /// Rows and roll-outs that need an authenticated version.
    authenticated_users: AtomicU32,
    /// Profiles that phones have and whose saved version is authenticated.
    authenticated_saved: AtomicU32,
}

impl ProfileBoard {
    /// Some phone is, or at its first registration will be, judged by an authenticated version: only then are
    /// suites without encryption offered (R119, R130). Two loads, for each handshake.
    pub fn authenticated_in_use(&self) -> bool {
        self.authenticated_users.load(Ordering::Acquire) > 0
            || self.authenticated_saved.load(Ordering::Acquire) > 0
    }

    fn entry(&self, profile: ProfileId) -> Option<Arc<Entry>> {
        self.profiles.pin().get(&profile).cloned()
    }

    /// Settings of a version.
    pub fn settings(&self, applied: AppliedVersion) -> Option<Arc<ProfileSettings>> {
        let pin = self.profiles.pin();
        pin.get(&applied.profile)?.version(applied.version).map(|v| Arc::clone(&v.settings))
    }

    /// The saved version of a profile.
    pub fn saved(&self, profile: ProfileId) -> Option<AppliedVersion> {
        let version = self.profiles.pin().get(&profile)?.saved?;
        Some(AppliedVersion { profile, version })
    }

    /// Name of a profile; empty when it is not known.
    pub fn name(&self, profile: ProfileId) -> Arc<str> {
        self.profiles.pin().get(&profile).map(|p| Arc::clone(&p.name)).unwrap_or_default()
    }

    /// By what a device is judged whose assigned profile and row these are (design §5). A version that is not
    /// known any more, as it may be after a power loss, counts as the saved one.
    pub fn judge(&self, assigned: ProfileId, row: Option<&Row>, now: UnixMillis) -> Option<Judgement> {
        let entry = self.entry(assigned)?;
        let saved = AppliedVersion { profile: assigned, version: entry.saved? };
        let applied = row.map_or(saved, |r| r.judged_by(saved, now));
        let settings = if applied.profile == assigned {
            entry.version(applied.version).map(|v| Arc::clone(&v.settings))
        } else {
            self.settings(applied)
        };
        let (applied, settings) = match settings {
            Some(settings) => (applied, settings),
            None => (saved, Arc::clone(&entry.version(saved.version)?.settings)),
        };
        Some(Judgement { applied, settings, assigned_name: Arc::clone(&entry.name) })
    }

    /// Versions on the board, for figures.
    pub fn versions(&self) -> usize {
        self.profiles.pin().values().map(|p| p.versions.len()).sum()
    }

    /// The longest time for which a nonce may be good, in seconds (R152).
    pub(crate) fn longest_nonce_validity_s(&self) -> u32 {
        let pin = self.profiles.pin();
        pin.values().flat_map(|p| &p.versions).map(|v| v.settings.nonce_validity_s).max().unwrap_or_default()
    }

    /// Only the catalog writes, so that reading, changing and publishing an entry loses nothing.
    fn change(&self, profile: ProfileId, change: impl FnOnce(&mut Entry)) {
        let mut entry = self.entry(profile).map(Arc::unwrap_or_clone).unwrap_or_default();
        let before = entry.saved_authenticated();
        change(&mut entry);
        self.count_saved(before, entry.saved_authenticated());
        let pin = self.profiles.pin();
        if entry.saved.is_none() && entry.versions.is_empty() {
            pin.remove(&profile);
        } else {
            pin.insert(profile, Arc::new(entry));
        }
    }

    fn count_saved(&self, before: bool, after: bool) {
        match (before, after) {
            (false, true) => self.authenticated_saved.fetch_add(1, Ordering::AcqRel),
            (true, false) => self.authenticated_saved.fetch_sub(1, Ordering::AcqRel),
            _ => 0,
        };
    }

    /// A phone has another profile than before, is new, or is gone. Only the catalog says so.
    pub(crate) fn assigned(&self, old: Option<ProfileId>, new: Option<ProfileId>) {
        if old == new {
            return;
        }
        for (profile, joins) in [(new, true), (old, false)] {
            let Some(entry) = profile.and_then(|p| self.entry(p)) else { continue };
            let before = entry.saved_authenticated();
            if joins {
                entry.assigned.fetch_add(1, Ordering::AcqRel);
            } else {
                // One that was deleted and made anew under its number begins at none.
                let _ =
                    entry.assigned.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            }
            self.count_saved(before, entry.saved_authenticated());
        }
    }

    /// Makes the settings of a version known, the saved one or one before it.
    pub(crate) fn put(&self, applied: AppliedVersion, settings: Arc<ProfileSettings>) {
        self.change(applied.profile, |entry| {
            match entry.versions.iter_mut().find(|v| v.version == applied.version) {
                Some(known) => known.settings = settings,
                None => {
                    let users = Arc::new(AtomicU32::new(0));
                    entry.versions.push(Version { version: applied.version, settings, users });
                }
            }
        });
    }

    /// A profile was saved, or got another name.
    pub(crate) fn save(&self, saved: AppliedVersion, name: &str, settings: Arc<ProfileSettings>) {
        self.put(saved, settings);
        self.change(saved.profile, |entry| {
            entry.saved = Some(saved.version);
            entry.name = name.into();
        });
    }

    /// A profile is gone; versions with users stay until those are gone too.
    pub(crate) fn remove(&self, profile: ProfileId) {
        self.change(profile, |entry| entry.saved = None);
    }

    /// Whether some version of the profile is neither the saved one nor has a user.
    pub(crate) fn has_garbage(&self, profile: ProfileId) -> bool {
        self.entry(profile).is_some_and(|e| e.versions.iter().any(|v| is_garbage(&e, v)))
    }

    /// Profiles that have garbage.
    pub(crate) fn with_garbage(&self) -> Vec<ProfileId> {
        let pin = self.profiles.pin();
        pin.iter().filter(|(_, e)| e.versions.iter().any(|v| is_garbage(e, v))).map(|(id, _)| *id).collect()
    }

    /// Drops the versions of a profile that nobody can be judged by any more, and says which.
    pub(crate) fn collect(&self, profile: ProfileId) -> Vec<ProfileVersion> {
        let mut gone = Vec::new();
        if self.has_garbage(profile) {
            self.change(profile, |entry| {
                gone.extend(entry.versions.iter().filter(|v| is_garbage(entry, v)).map(|v| v.version));
                entry.versions.retain(|v| !gone.contains(&v.version));
            });
        }
        gone
    }

    /// A row or a roll-out needs a version from now on.
    pub(crate) fn hold(&self, applied: AppliedVersion) {
        self.with_version(applied, |version| {
            version.users.fetch_add(1, Ordering::AcqRel);
            if version.is_authenticated() {
                self.authenticated_users.fetch_add(1, Ordering::AcqRel);
            }
        });
    }

    /// It needs it no longer.
    pub(crate) fn release(&self, applied: AppliedVersion) {
        self.with_version(applied, |version| {
            // Whoever held a version that was not known then took no count.
            let less = version.users.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
            if less.is_ok() && version.is_authenticated() {
                self.authenticated_users.fetch_sub(1, Ordering::AcqRel);
            }
        });
    }

    fn with_version(&self, applied: AppliedVersion, change: impl FnOnce(&Version)) {
        let pin = self.profiles.pin();
        if let Some(version) = pin.get(&applied.profile).and_then(|e| e.version(applied.version)) {
            change(version);
        }
    }

    /// A row takes the place of another on the device board: the counts follow. Nothing to do for a refresh.
    pub(crate) fn replaced(&self, old: Option<&Row>, new: Option<&Row>) {
        let of = |row: Option<&Row>| -> SmallVec<[AppliedVersion; 2]> {
            row.into_iter().flat_map(|r| r.versions()).collect()
        };
        let (before, after) = (of(old), of(new));
        if before != after {
            // Taken before given back, so that a version with one user never seems to have none.
            after.into_iter().for_each(|v| self.hold(v));
            before.into_iter().for_each(|v| self.release(v));
        }
    }
}

fn is_garbage(entry: &Entry, version: &Version) -> bool {
    entry.saved != Some(version.version) && version.users.load(Ordering::Acquire) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: ProfileId = ProfileId(1);

    fn v(version: u32) -> AppliedVersion {
        AppliedVersion { profile: P, version: ProfileVersion(version) }
    }

    fn settings(nonce_validity_s: u32) -> Arc<ProfileSettings> {
        let model = keyline_domain::model::builtin("Cisco 8845").unwrap();
        let predefined = keyline_domain::profile::predefined(model, keyline_domain::mode::Protocol::Sip);
        Arc::new(ProfileSettings { nonce_validity_s, ..predefined.unwrap().settings })
    }

    fn saved(board: &ProfileBoard, version: u32) {
        board.save(v(version), &format!("name {version}"), settings(600 + version));
    }

    #[test]
    fn a_version_lives_as_long_as_it_is_saved_or_used() {
        let board = ProfileBoard::default();
        saved(&board, 1);
        board.hold(v(1));
        for version in 2..=50 {
            saved(&board, version);
            board.collect(P);
        }
        assert_eq!(board.versions(), 2, "the used one and the saved one");
        assert_eq!(board.settings(v(1)).unwrap().nonce_validity_s, 601);
        assert_eq!(board.settings(v(49)), None);
        assert_eq!((board.saved(P), &*board.name(P)), (Some(v(50)), "name 50"));
        board.release(v(1));
        assert_eq!(board.with_garbage(), [P]);
        assert_eq!(board.collect(P), [ProfileVersion(1)]);
        assert_eq!((board.versions(), board.with_garbage()), (1, vec![]));
        // One too many gives nothing back that another holds.
        board.release(v(50));
        board.hold(v(50));
        board.remove(P);
        assert_eq!(board.collect(P), []);
        board.release(v(50));
        assert_eq!(board.collect(P), [ProfileVersion(50)]);
        assert_eq!((board.versions(), board.saved(P)), (0, None));
    }

    #[test]
    fn a_version_that_is_not_known_counts_as_the_saved_one() {
        let board = ProfileBoard::default();
        let mut row = Row::new(v(1));
        row.bindings.clear();
        assert!(board.judge(P, Some(&row), UnixMillis(0)).is_none(), "no such profile");
        saved(&board, 3);
        assert_eq!(board.judge(P, Some(&row), UnixMillis(0)).unwrap().applied, v(3));
        assert_eq!(board.judge(P, None, UnixMillis(0)).unwrap().applied, v(3));
    }

    /// In use as soon as a phone has it, until the last phone and the last row are done with it.
    #[test]
    fn r130_an_authenticated_profile_counts_while_some_phone_is_judged_by_it() {
        let with = |mode| {
            let settings = settings(600);
            Arc::new(ProfileSettings { device_security_mode: mode, ..Arc::unwrap_or_clone(settings) })
        };
        use DeviceSecurityMode::{Authenticated, Encrypted};
        let board = ProfileBoard::default();
        let other = ProfileId(2);
        board.save(v(1), "p", with(Authenticated));
        board.save(AppliedVersion { profile: other, ..v(1) }, "other", with(Encrypted));
        assert!(!board.authenticated_in_use(), "nobody has it");
        board.assigned(None, Some(other));
        assert!(!board.authenticated_in_use());
        for _ in 0..2 {
            board.assigned(None, Some(P));
            assert!(board.authenticated_in_use());
        }
        board.assigned(Some(P), Some(P));
        board.assigned(Some(P), Some(other));
        assert!(board.authenticated_in_use());
        // A row is judged by it still, after the saved version changed and after its phone got another profile.
        board.hold(v(1));
        board.save(v(2), "p", with(Encrypted));
        assert!(board.authenticated_in_use());
        board.assigned(Some(P), Some(other));
        board.save(v(3), "p", with(Authenticated));
        assert!(board.authenticated_in_use());
        board.release(v(1));
        assert!(!board.authenticated_in_use(), "saved, but nobody has it");
        board.release(v(1));
        board.assigned(None, Some(P));
        assert!(board.authenticated_in_use());
        board.assigned(Some(P), None);
        assert!(!board.authenticated_in_use());
        board.remove(P);
        board.collect(P);
        board.assigned(Some(P), None);
        assert!(!board.authenticated_in_use());
    }
}
