//! Real collectors for the tests of OTLP, none of which is shipped: OpenTelemetry's own, from Debian's source packages, and
//! rotel, from a Python package. Both go into the cache.

mod otelcol;
mod rotel;

pub(crate) use self::{otelcol::otelcol, rotel::rotel};
