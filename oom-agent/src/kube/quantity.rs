//! Quantities as Kubernetes writes them (`k8s.io/apimachinery/pkg/api/resource`). Pure.

/// A quantity of bytes: `512Mi`, `1.5G`, `1e9`, `128974848000m`. Fractions of a byte are rounded up, as Kubernetes does.
/// `None`: none, negative, or more than there can be.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.parse().ok()?;
    let scale = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => (1_u64 << 40) as f64,
        "Pi" => (1_u64 << 50) as f64,
        "Ei" => (1_u64 << 60) as f64,
        _ => 10_f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|it| (-30..=30).contains(it))?),
    };
    let bytes = (number * scale).ceil();
    (bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_writes() {
        for (text, expected) in [
            ("0", 0),
            ("134217728", 134_217_728),
            ("512Mi", 512 << 20),
            ("1.5Gi", 3 << 29),
            ("2Ti", 2 << 40),
            ("1G", 1_000_000_000),
            ("1e9", 1_000_000_000),
            ("1E3", 1000),
            ("1E", 1_000_000_000_000_000_000),
            ("128974848000m", 128_974_848),
            ("100m", 1),
            ("64k", 64_000),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for wrong in ["", "Mi", "-1", "1.2.3", "1KiB", "1e999", "1e", "9999999999E", "inf", "NaN", "1 Mi"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
