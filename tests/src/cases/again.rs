//! Kills in the same place, one after the other.

use super::memcg::hog;
use super::stage::Stage;
use crate::truth::model::Afterwards;
use anyhow::Result;

/// As a container that is started again and again: three processes of a cgroup grow, each after the one before has died.
/// What is left of the cgroup's memory is read after each.
pub(super) fn again(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.group("again")?;
    stage.at(group)?.limit(24, 0)?;
    stage.start(Some(group), hog("bystander", 0, 6, 0))?;
    let growers = [0; 3].map(|_| stage.start(Some(group), hog("again", 0, 0, 32)));
    stage.look()?;
    for (index, grower) in growers.into_iter().enumerate() {
        let grower = grower?;
        stage.intend(grower, "selected");
        stage.actor(grower)?.go()?;
        stage.actor(grower)?.settle()?;
        stage.await_deaths()?;
        let usage_bytes = stage.at(group)?.usage()?;
        stage.afterwards.push(Afterwards { kill_number: index as u64 + 1, usage_bytes });
    }
    Ok(())
}
