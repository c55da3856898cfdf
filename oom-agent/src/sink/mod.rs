//! Where incidents go. Each takes `&Incident` and returns text; writing it is the caller's.
