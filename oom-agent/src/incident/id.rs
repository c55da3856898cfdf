//! Names of incidents: 26 characters of Crockford's base32 that sort by time (the shape of a ULID).

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The id of the incident that began `boottime_ns` after the boot `boot_id`, `unix_ms` being the wall clock then.
///
/// The same incident gets the same id up to the clock's error; two incidents of one boot never share one, since
/// the kernel serialises them and `number` tells apart what began in the same nanosecond.
pub fn incident_id(unix_ms: u64, boot_id: &str, boottime_ns: u64, number: u64) -> String {
    let mut seed = boot_id.as_bytes().to_vec();
    seed.extend_from_slice(&boottime_ns.to_le_bytes());
    seed.extend_from_slice(&number.to_le_bytes());
    let low = fnv1a(0xcbf2_9ce4_8422_2325, &seed);
    let high = fnv1a(low, b"high");
    let value =
        (u128::from(unix_ms & 0xffff_ffff_ffff) << 80) | (u128::from(high & 0xffff) << 64) | u128::from(low);
    base32(value)
}

/// The least id of an incident at `unix_ms`: all ids before that time are less.
pub fn first_id(unix_ms: u64) -> String {
    base32(u128::from(unix_ms & 0xffff_ffff_ffff) << 80)
}

/// The wall clock that an id says, in milliseconds since 1970. `None` if it is no id.
pub fn unix_ms(id: &str) -> Option<u64> {
    if id.len() != 26 {
        return None;
    }
    let digit = |byte| ALPHABET.iter().position(|letter| *letter == byte);
    let digits = id.bytes().map(digit).collect::<Option<Vec<_>>>()?;
    Some(digits[..10].iter().fold(0, |value, digit| value << 5 | *digit as u64))
}

fn base32(value: u128) -> String {
    (0..26).rev().map(|digit| char::from(ALPHABET[(value >> (5 * digit)) as usize & 31])).collect()
}

/// FNV-1a, 64 bits: spreads well enough for names and needs no dependency.
fn fnv1a(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let first = incident_id(1_700_000_000_000, "boot", 5, 1);
        let later = incident_id(1_700_000_000_001, "boot", 1, 2);
        assert_eq!(first.len(), 26);
        assert!(first < later);
        assert_ne!(first, incident_id(1_700_000_000_000, "boot", 5, 2));
        assert_ne!(first, incident_id(1_700_000_000_000, "other", 5, 1));
        assert_eq!(first, incident_id(1_700_000_000_000, "boot", 5, 1));
        assert_eq!(&incident_id(1_469_918_176_385, "boot", 5, 1)[..10], "01ARYZ6S41");
        assert!(first_id(1_700_000_000_000) <= first && first < first_id(1_700_000_000_001));
        assert_eq!((unix_ms(&first), unix_ms(&later)), (Some(1_700_000_000_000), Some(1_700_000_000_001)));
        assert_eq!((unix_ms(""), unix_ms(&"I".repeat(26)), unix_ms("7")), (None, None, None));
    }
}
