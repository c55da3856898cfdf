//! What this machine's configuration and this process's privileges allow.
