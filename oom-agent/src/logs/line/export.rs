//! `journalctl -o export`.
