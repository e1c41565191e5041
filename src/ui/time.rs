//! Times as AWS gives them (milliseconds since the epoch) and as people read them.

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// `2026-11-21T14:03:07+01:00`: RFC 3339 in the local time zone, to the second; `-` when out of
/// range.
pub fn local_rfc3339(epoch_ms: i64) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(at) => at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => "-".to_owned(),
    }
}

/// `2026-11-21T14:03:07.042+01:00`: the same in a time zone, to the millisecond.
pub fn local_rfc3339_ms(epoch_ms: i64, zone: &TimeZone) -> String {
    match Timestamp::from_millisecond(epoch_ms) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        Err(_) => "-".to_owned(),
    }
}

/// A time in few letters, as seen from `now`: `14:03:07` of today, `Nov 20 14:03` of this year,
/// else `2025-11-20`.
pub fn local_short(epoch_ms: i64, now: &Zoned) -> String {
    let Ok(at) = Timestamp::from_millisecond(epoch_ms) else { return "-".to_owned() };
    let at = at.to_zoned(now.time_zone().clone());
    let form = match (at.year() == now.year(), at.date() == now.date()) {
        (_, true) => "%H:%M:%S",
        (true, false) => "%b %d %H:%M",
        (false, _) => "%Y-%m-%d",
    };
    at.strftime(form).to_string()
}

/// A time span as Slurm writes it: `3:04`, `2:03:04`, `1-02:03:04` (a day and two hours). Below
/// zero is zero.
pub fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (seconds, text) in
            [(-5, "0:00"), (7, "0:07"), (184, "3:04"), (7384, "2:03:04"), (93_784, "1-02:03:04")]
        {
            assert_eq!(span(seconds * 1000), text);
        }
    }

    #[test]
    fn short_times_say_what_is_not_the_same_as_now() -> Result<(), jiff::Error> {
        let now: Zoned = "2026-11-21T20:00:00[UTC]".parse()?;
        for (at, text) in [
            ("2026-11-21T14:03:07Z", "14:03:07"),
            ("2026-11-20T23:59:59Z", "Nov 20 23:59"),
            ("2025-11-21T14:03:07Z", "2025-11-21"),
        ] {
            assert_eq!(local_short(at.parse::<Timestamp>()?.as_millisecond(), &now), text);
        }
        assert_eq!(local_short(i64::MAX, &now), "-");
        Ok(())
    }
}
