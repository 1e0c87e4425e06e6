//! Which files are worth merging: pure, from what the manifest lists and what time it is.
//!
//! Within one hour of one table, small files only, in groups that make one large file. A file that is most of its group
//! stays as it is: rewriting it for a few late rows would write the same bytes again and again.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    dataset::{HOUR_NS, name::DatasetFile},
    manifest::LiveFile,
};

/// Files of this size and more stay as they are.
pub const SMALL_BYTES_MAX: u64 = 128 << 20;

/// Bytes of the files that become one.
pub const MERGED_BYTES_MAX: u64 = 512 << 20;

/// Files that become one: their names stand in its metadata and in one line of the manifest.
pub const MERGED_FILES_MAX: usize = 10_000;

/// A file stays out of a merge in which it outweighs all others so many times.
const OUTWEIGHS: u64 = 8;

/// A file that may be merged, and its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) file: DatasetFile,
    pub(crate) bytes: u64,
}

/// Files whose rows are to stand in one, by name.
pub(crate) type Group = Vec<Candidate>;

/// The groups of hours that ended `settle` before `now_ns` (Unix time) or earlier, oldest first.
pub(crate) fn groups(live: &BTreeMap<String, LiveFile>, settle: Duration, now_ns: i64) -> Vec<Group> {
    let settle_ns = i64::try_from(settle.as_nanos()).unwrap_or(i64::MAX);
    let ended_by = now_ns.saturating_sub(settle_ns).div_euclid(HOUR_NS);
    let mut partitions: BTreeMap<(i64, String), Group> = BTreeMap::new();
    for (name, listed) in live {
        let Some(file) = DatasetFile::parse(name) else { continue };
        if listed.bytes < SMALL_BYTES_MAX && file.hour < ended_by {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            partitions.entry((file.hour, folder)).or_default().push(Candidate { file, bytes: listed.bytes });
        }
    }
    partitions.into_values().flat_map(|files| split(worth_merging(files))).collect()
}

/// The files without those that are nearly everything.
fn worth_merging(mut files: Group) -> Group {
    files.sort_by_key(|candidate| candidate.bytes);
    let mut rest: u64 = files.iter().map(|candidate| candidate.bytes).sum();
    while let Some(largest) = files.last() {
        rest -= largest.bytes;
        if files.len() > 1 && largest.bytes <= rest.saturating_mul(OUTWEIGHS) {
            break;
        }
        files.pop();
    }
    files.sort_by(|a, b| a.file.cmp(&b.file));
    files
}

/// Groups of about the same size, each within the limits.
fn split(files: Group) -> Vec<Group> {
    let total: u64 = files.iter().map(|candidate| candidate.bytes).sum();
    let share = total / total.div_ceil(MERGED_BYTES_MAX).max(1) + 1;
    let mut groups: Vec<Group> = Vec::new();
    let mut bytes = 0;
    for candidate in files {
        let has_room = |group: &Group| {
            group.len() < MERGED_FILES_MAX && bytes < share && bytes + candidate.bytes <= MERGED_BYTES_MAX
        };
        if groups.last().is_none_or(|group| !has_room(group)) {
            groups.push(Group::new());
            bytes = 0;
        }
        bytes += candidate.bytes;
        groups.last_mut().expect("one was just pushed").push(candidate);
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 498_708;
    const MIB: u64 = 1 << 20;
    const SETTLE: Duration = Duration::from_secs(600);

    fn live(files: &[(&str, u64)]) -> BTreeMap<String, LiveFile> {
        let listed = |(at, (hour, bytes)): (usize, &(&str, u64))| {
            let file = LiveFile { rows: 1, bytes: *bytes, sha256: String::new() };
            (format!("{hour}/s-1-1-{at}.parquet"), file)
        };
        files.iter().enumerate().map(listed).collect()
    }

    /// Sizes of the groups' files.
    fn sizes(files: &[(&str, u64)], now_ns: i64) -> Vec<Vec<u64>> {
        let groups = groups(&live(files), SETTLE, now_ns);
        groups.iter().map(|group| group.iter().map(|candidate| candidate.bytes).collect()).collect()
    }

    const ELEVEN: &str = "http/date=2026-11-22/hour=11";
    const TWELVE: &str = "http/date=2026-11-22/hour=12";
    const STATS: &str = "capture_stats/date=2026-11-22/hour=11";

    #[test]
    fn hours_that_are_over_are_merged_each_table_by_itself() {
        let files = [(ELEVEN, 1), (ELEVEN, 2), (TWELVE, 3), (TWELVE, 4), (STATS, 5), (STATS, 6)];
        let at = |hour: i64, minute: i64| hour * HOUR_NS + minute * HOUR_NS / 60;
        assert_eq!(sizes(&files, at(NOON, 9)), Vec::<Vec<u64>>::new());
        assert_eq!(sizes(&files, at(NOON, 10)), [[5, 6], [1, 2]]);
        assert_eq!(sizes(&files, at(NOON + 1, 10)), [[5, 6], [1, 2], [3, 4]]);
        assert_eq!(sizes(&files, i64::MIN), Vec::<Vec<u64>>::new());
    }

    #[test]
    fn large_files_and_lone_files_stay() {
        let late = i64::MAX;
        assert!(sizes(&[(ELEVEN, 5)], late).is_empty());
        assert!(sizes(&[(ELEVEN, SMALL_BYTES_MAX), (ELEVEN, 5)], late).is_empty());
        assert!(sizes(&[(ELEVEN, 50 * MIB), (ELEVEN, 5)], late).is_empty(), "a late row");
        assert_eq!(sizes(&[(ELEVEN, 50 * MIB), (ELEVEN, 5), (ELEVEN, 6)], late), [[5, 6]]);
        assert_eq!(sizes(&[(ELEVEN, 50 * MIB), (ELEVEN, 10 * MIB)], late).len(), 1);
    }

    #[test]
    fn an_hour_with_much_becomes_several_files_of_one_size() {
        let files: Vec<(&str, u64)> = (0..20).map(|_| (ELEVEN, 60 * MIB)).collect();
        let sums: Vec<u64> =
            sizes(&files, i64::MAX).iter().map(|group| group.iter().sum::<u64>() / MIB).collect();
        assert_eq!(sums, [420, 420, 360]);
        let tiny: Vec<(&str, u64)> = (0..=MERGED_FILES_MAX).map(|_| (ELEVEN, 1)).collect();
        let groups = sizes(&tiny, i64::MAX);
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [MERGED_FILES_MAX]);
    }
}
