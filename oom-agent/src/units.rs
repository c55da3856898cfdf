//! Quantities as people read them.

/// What stands for a value that was not seen.
pub const UNKNOWN: &str = "?";

/// Bytes in binary units with at most three significant digits (four from 1000 to 1023): `0`, `512 MiB`, `1.5
/// GiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes == 0 {
        return "0".to_owned();
    }
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.5 would be printed as 1024.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = if value >= 99.95 { 0 } else { 1 + usize::from(value < 9.995) };
    format!("{} {}", trimmed(value, decimals), UNITS[unit])
}

/// Bytes, or `?`.
pub fn maybe_bytes(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), bytes)
}

/// A time span given in nanoseconds: `850 ns`, `6.2 ms`, `41 ms`, `2 min 3 s`, `3 h 20 min`.
pub fn nanoseconds(ns: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..999_500 => (ns as f64 / 1e3, "us"),
        999_500..999_500_000 => (ns as f64 / 1e6, "ms"),
        _ if ns < 59_500_000_000 => (ns as f64 / 1e9, "s"),
        _ => {
            let seconds = ns / SECOND + u64::from(ns % SECOND >= SECOND / 2);
            return if seconds < 3600 {
                two(seconds / 60, "min", seconds % 60, "s")
            } else {
                two(seconds / 3600, "h", seconds % 3600 / 60, "min")
            };
        }
    };
    format!("{} {unit}", trimmed(value, usize::from(value < 9.95)))
}

/// A time span, or `?`.
pub fn maybe_nanoseconds(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), nanoseconds)
}

/// A whole number with separators: `128,771`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Points (pages, may be negative) with separators: `-1,234`.
pub fn points(value: i64) -> String {
    format!("{}{}", if value < 0 { "-" } else { "" }, count(value.unsigned_abs()))
}

/// `1 page`, `2 pages`, with separators.
pub fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

fn two(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

fn trimmed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_significant_digits() {
        const MIB: u64 = 1 << 20;
        for (value, text) in [
            (0, "0"),
            (1, "1 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (512 * MIB, "512 MiB"),
            (MIB - 1, "1 MiB"),
            (1023 * MIB, "1023 MiB"),
            (1536 * MIB, "1.5 GiB"),
            (1500 * MIB, "1.46 GiB"),
            (12_595 * MIB, "12.3 GiB"),
            (102_350 * MIB, "100 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(value), text, "{value}");
        }
        assert_eq!(maybe_bytes(None), "?");
    }

    #[test]
    fn times_are_short() {
        for (value, text) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (1_000, "1 us"),
            (6_240_000, "6.2 ms"),
            (9_960_000, "10 ms"),
            (41_200_000, "41 ms"),
            (999_600_000, "1 s"),
            (1_500_000_000, "1.5 s"),
            (59_600_000_000, "1 min"),
            (123_000_000_000, "2 min 3 s"),
            (12_000_000_000_000, "3 h 20 min"),
        ] {
            assert_eq!(nanoseconds(value), text, "{value}");
        }
        assert_eq!(maybe_nanoseconds(None), "?");
    }

    #[test]
    fn points_have_separators_and_a_sign() {
        assert_eq!(points(128_771), "128,771");
        assert_eq!(points(-1_234), "-1,234");
        assert_eq!(points(999), "999");
        assert_eq!(points(i64::MIN), "-9,223,372,036,854,775,808");
    }
}
