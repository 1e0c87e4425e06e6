//! Which files are to go: pure, from what is there, what the disk says and what time it is.

use std::time::Duration;

use crate::{
    dataset::{HOUR_NS, name::DatasetFile},
    manifest::RemoveReason,
};

/// What is kept; nothing is removed by a limit that is not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// Hours that ended longer ago go.
    pub age: Option<Duration>,
    /// Bytes of this sensor's files at the most.
    pub bytes: Option<u64>,
    /// Room on the filesystem at the least.
    pub free: Option<KeepFree>,
}

/// Room that is left free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepFree {
    /// This many bytes.
    Bytes(u64),
    /// This share of the filesystem, in percent.
    Percent(u8),
}

impl Keep {
    /// True where nothing is ever removed.
    pub fn is_everything(&self) -> bool {
        *self == Keep::default()
    }

    /// Bytes that must be free on a filesystem of this size.
    pub(crate) fn free_bytes_min(&self, total: u64) -> u64 {
        match self.free {
            None => 0,
            Some(KeepFree::Bytes(bytes)) => bytes,
            Some(KeepFree::Percent(percent)) => total / 100 * u64::from(percent),
        }
    }
}

/// A published file and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) file: DatasetFile,
    pub(crate) bytes: u64,
}

/// The disk as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) free: u64,
    pub(crate) total: u64,
}

/// How many of `files`, which stand oldest first, have to go from the front, and each one's reason.
///
/// The files of the newest hour stay whatever the size limits say: who fills the disk may be somebody else, and a
/// dataset is not emptied for that.
pub(crate) fn to_remove(keep: &Keep, files: &[Kept], room: Room, now_ns: Option<i64>) -> Vec<RemoveReason> {
    let newest = files.last().map(|kept| kept.file.hour);
    let free_min = keep.free_bytes_min(room.total);
    let (mut left, mut free) = (files.iter().map(|kept| kept.bytes).sum::<u64>(), room.free);
    let mut reasons = Vec::new();
    for kept in files {
        let may_go = Some(kept.file.hour) != newest;
        let reason = if is_old(keep, kept.file.hour, now_ns) {
            RemoveReason::Age
        } else if may_go && keep.bytes.is_some_and(|max| left > max) {
            RemoveReason::Bytes
        } else if may_go && free < free_min {
            RemoveReason::Free
        } else {
            break;
        };
        left -= kept.bytes;
        free += kept.bytes;
        reasons.push(reason);
    }
    reasons
}

/// True where the hour ended longer ago than is kept; without a clock that can be trusted nothing is old.
fn is_old(keep: &Keep, hour: i64, now_ns: Option<i64>) -> bool {
    let (Some(age), Some(now_ns)) = (keep.age, now_ns) else { return false };
    let age_ns = i64::try_from(age.as_nanos()).unwrap_or(i64::MAX);
    now_ns.saturating_sub((hour + 1).saturating_mul(HOUR_NS)) > age_ns
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 498_708;
    const ROOMY: Room = Room { free: 1 << 40, total: 1 << 41 };

    /// Files of ten bytes in the hours up to noon, two an hour, oldest first.
    fn files(hours: i64) -> Vec<Kept> {
        let kept = |hour, number| {
            let name = format!("{hour}/{number}");
            Kept { file: DatasetFile { hour, name, sensor: "s".to_owned() }, bytes: 10 }
        };
        (NOON - hours + 1..=NOON).flat_map(|hour| [kept(hour, 0), kept(hour, 1)]).collect()
    }

    #[test]
    fn without_a_limit_everything_stays() {
        let full = Room { free: 0, total: 100 };
        assert!(to_remove(&Keep::default(), &files(9), full, Some(i64::MAX)).is_empty());
    }

    #[test]
    fn hours_go_by_age_when_their_last_row_is_too_old() {
        let keep = Keep { age: Some(Duration::from_secs(3 * 3600)), ..Keep::default() };
        let end_of = |hour: i64| (hour + 1) * HOUR_NS;
        let removed = |now_ns| to_remove(&keep, &files(6), ROOMY, Some(now_ns)).len();
        assert_eq!(removed(end_of(NOON - 2)), 0, "the oldest hour ended exactly three hours ago");
        assert_eq!(removed(end_of(NOON - 2) + 1), 2);
        assert_eq!(removed(end_of(NOON - 1) + 1), 4);
        assert_eq!(removed(i64::MAX), 12, "the newest hour as well");
        assert_eq!(removed(0), 0, "a clock set back removes nothing");
        assert!(to_remove(&keep, &files(6), ROOMY, None).is_empty(), "nor does one that is not trusted");
    }

    #[test]
    fn size_and_room_take_the_oldest_and_no_more_than_needed() {
        let keep = Keep { bytes: Some(75), ..Keep::default() };
        assert_eq!(to_remove(&keep, &files(6), ROOMY, None), [RemoveReason::Bytes; 5]);
        let keep = Keep { free: Some(KeepFree::Percent(10)), ..Keep::default() };
        let room = Room { free: 71, total: 1000 };
        assert_eq!(to_remove(&keep, &files(6), room, None), [RemoveReason::Free; 3]);
        let keep = Keep { free: Some(KeepFree::Bytes(71)), ..Keep::default() };
        assert!(to_remove(&keep, &files(6), room, None).is_empty());
    }

    #[test]
    fn the_newest_hour_stays_whoever_fills_the_disk() {
        let keep = Keep { bytes: Some(1), free: Some(KeepFree::Percent(99)), ..Keep::default() };
        assert_eq!(to_remove(&keep, &files(6), Room { free: 0, total: 1000 }, None).len(), 10);
        assert!(to_remove(&keep, &files(1), Room { free: 0, total: 1000 }, None).is_empty());
        assert!(to_remove(&keep, &[], Room { free: 0, total: 1000 }, None).is_empty());
    }
}
