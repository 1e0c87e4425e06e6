//! Which folder a row belongs to: `date=YYYY-MM-DD/hour=H` of its time, UTC, no zero padding of the hour.

use std::path::{Path, PathBuf};

/// Nanoseconds of an hour.
pub const HOUR_NS: i64 = 3_600_000_000_000;

/// One hour of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Name of the table and of its folder.
    pub table: &'static str,
    /// Hours since 1970-01-01T00:00Z.
    pub hour: i64,
}

impl Partition {
    /// The partition of a row at this Unix time.
    pub fn of(table: &'static str, ts_ns: i64) -> Partition {
        Partition { table, hour: ts_ns.div_euclid(HOUR_NS) }
    }

    /// The partition with these folder names; `None` where no writer gives such names.
    pub(crate) fn parse(table: &'static str, date: &str, hour: &str) -> Option<Partition> {
        let of_day: i64 = hour.strip_prefix("hour=")?.parse().ok().filter(|hour| (0..24).contains(hour))?;
        let mut date_parts = date.strip_prefix("date=")?.rsplitn(3, '-').map(str::parse::<i64>);
        let (day, month, year) =
            (date_parts.next()?.ok()?, date_parts.next()?.ok()?, date_parts.next()?.ok()?);
        let in_range =
            (-9_999..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
        let partition = Partition { table, hour: in_range.then(|| days(year, month, day))? * 24 + of_day };
        (partition.folder() == Path::new(table).join(date).join(hour)).then_some(partition)
    }

    /// The folder below the dataset's.
    pub fn folder(&self) -> PathBuf {
        let (year, month, day) = civil(self.hour.div_euclid(24));
        let hour = self.hour.rem_euclid(24);
        PathBuf::from(self.table)
            .join(format!("date={year:04}-{month:02}-{day:02}"))
            .join(format!("hour={hour}"))
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last, in eras of 400 years or 146,097 days.
fn civil(day: i64) -> (i64, i64, i64) {
    let from_march_0000 = day + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let day_of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
}

/// The day, counted from 1970-01-01, of a date: `civil` backwards.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_known_times() {
        let folder = |seconds: i64| Partition::of("http", seconds * 1_000_000_000).folder();
        assert_eq!(folder(0), PathBuf::from("http/date=1970-01-01/hour=0"));
        assert_eq!(folder(-1), PathBuf::from("http/date=1969-12-31/hour=23"));
        assert_eq!(folder(951_782_400), PathBuf::from("http/date=2000-02-29/hour=0"));
        assert_eq!(folder(1_795_345_707), PathBuf::from("http/date=2026-11-22/hour=11"));
        assert_eq!(folder(4_107_542_399), PathBuf::from("http/date=2100-02-28/hour=23"));
        assert_eq!(folder(4_107_542_400), PathBuf::from("http/date=2100-03-01/hour=0"));
    }

    #[test]
    fn days_follow_each_other() {
        let mut previous = civil(-800_000);
        for day in -799_999..800_000 {
            let next = civil(day);
            let same_month = next == (previous.0, previous.1, previous.2 + 1);
            let next_month = next == (previous.0, previous.1 + 1, 1) && previous.2 >= 28;
            let next_year = next == (previous.0 + 1, 1, 1) && previous.1 == 12 && previous.2 == 31;
            assert!(same_month || next_month || next_year, "{previous:?} then {next:?}");
            assert_eq!(days(next.0, next.1, next.2), day, "and back");
            previous = next;
        }
    }
}
