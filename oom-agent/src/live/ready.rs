//! Waits for each source. For ever, if there is none. Cancel safe.

use crate::{
    kernel::{load::Logger, rings::Rings},
    report::Event,
    source::{kmsg::Kmsg, sampler::Sampler},
};
use anyhow::{Context as _, Result};
use std::future;
use tokio::io::unix::AsyncFd;

pub(super) async fn rings_readable(rings: &mut Option<Rings>) -> Result<()> {
    match rings {
        Some(rings) => rings.readable().await,
        None => future::pending().await,
    }
}

pub(super) async fn kmsg_next(kmsg: &mut Option<Kmsg>, events: &mut Vec<Event>) -> Result<()> {
    match kmsg {
        Some(kmsg) => kmsg.next(events).await,
        None => future::pending().await,
    }
}

pub(super) async fn sample_due(sampler: &mut Option<Sampler>) -> Result<()> {
    match sampler {
        Some(sampler) => sampler.due().await,
        None => future::pending().await,
    }
}

pub(super) async fn log_flush(logger: &mut Option<AsyncFd<Logger>>) -> Result<()> {
    match logger {
        Some(logger) => {
            let mut guard =
                logger.readable_mut().await.context("cannot wait for the log of the BPF programs")?;
            guard.clear_ready();
            guard.get_inner_mut().flush();
            Ok(())
        }
        None => future::pending().await,
    }
}
